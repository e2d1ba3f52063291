"""The published shapes, with random weights: graphs stay small, their weights outside of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sdxs.bench.architectures import write
from sdxs.export.__main__ import main

MOST = 2**31  # bytes of a message of Protocol Buffers


@pytest.mark.long
@pytest.mark.parametrize("name", ["sdxs-512", "sdxs-1024"])
def test_full_size(name: str, tmp_path: Path, ran: Callable[..., tuple[int, str, str]]) -> None:
    out = tmp_path / "out"
    status, _, complaint = ran(main, write(name, tmp_path / name), "--to", "onnx", "--out", out)
    assert status == 0, complaint
    graphs = [file.stat().st_size for file in out.glob("*.onnx")]
    weights = [file.stat().st_size for file in (out / "weights").iterdir()]
    assert max(graphs) < 1e6 < 500 * 1e6 < max(weights) < MOST
