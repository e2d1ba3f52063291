"""Each saving is measured, and saves operations."""

from pathlib import Path
from typing import Any

import pytest

from sdxs.bench import savings
from sdxs.bench.savings import SAVINGS, main


@pytest.mark.parametrize("count", [1, pytest.param(len(SAVINGS), marks=pytest.mark.slow)])
def test_a_row_a_saving(
    count: int, tiny_checkpoint: Path, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    some = dict(list(SAVINGS.items())[-count:])
    monkeypatch.setattr(savings, "SAVINGS", some)
    status, told, _ = ran(main, "--checkpoint", tiny_checkpoint, "--rounds", "1")
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")][2:]
    assert status == 0 and [row[0].removeprefix("| ") for row in rows] == list(some)
    assert all(float(cell.strip(" |")) > 0 for row in rows for cell in row[1:])
    assert ran(main, "--checkpoint", "nonsense")[0] == 2
