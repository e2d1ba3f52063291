"""Each saving is measured, and saves operations."""

from pathlib import Path
from typing import Any

import pytest

from sdxs.bench.savings import SAVINGS, main


def test_a_row_a_saving(tiny_checkpoint: Path, ran: Any) -> None:
    pytest.importorskip("openvino")
    status, told, _ = ran(main, "--checkpoint", tiny_checkpoint, "--rounds", "1")
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")][2:]
    assert status == 0 and [row[0].removeprefix("| ") for row in rows] == list(SAVINGS)
    assert all(float(cell.strip(" |")) > 0 for row in rows for cell in row[1:])
    assert ran(main, "--checkpoint", "nonsense")[0] == 2
