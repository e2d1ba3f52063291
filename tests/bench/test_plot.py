"""The plot of a benchmark."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxs.bench import plot
from sdxs.bench.__main__ import main

RESULT: dict[str, Any] = {
    "checkpoint": "storybook", "size": [256, 256], "device": "cpu", "dtype": "bfloat16",
    "gpu": None, "cpu": "a processor", "cores": 2, "torch": "2.13", "rounds": 30,
    "ms": {
        side: {"whole": {"median": median, "p95": 1.5 * median}}
        for side, median in (("eager", 44.8), ("openvino", 14.0), ("plain", 1194.3))
    },
}  # fmt: skip


def test_a_bar_a_side_the_fastest_on_top() -> None:
    plt = plot.pyplot()
    place = plt.figure()
    plot.panel(place, RESULT, {"plain": "plain diffusers"})
    (axis,) = place.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["SDXS, openvino", "SDXS, eager", "plain diffusers"] and axis.yaxis_inverted()
    assert [bar.get_width() for bar in axis.patches] == [14.0, 44.8, 1194.3]
    (whiskers,) = axis.collections
    assert [tuple(line[:, 0]) for line in whiskers.get_segments()] == [
        (median, pytest.approx(1.5 * median)) for median in (14.0, 44.8, 1194.3)
    ]
    assert [text.get_text() for text in axis.texts] == [
        "14.0, p95 21.0", "44.8, p95 67.2", "1,194, p95 1,791",
    ]  # fmt: skip
    title = place.get_suptitle()
    assert all(part in title for part in ("storybook", "256 × 256", "a processor, 2 cores"))
    plt.close(place)


def test_a_panel_a_device(tmp_path: Path) -> None:
    plot.draw([RESULT], {}, tmp_path / "one.png")
    plot.draw([RESULT, RESULT | {"gpu": "a card"}], {}, tmp_path / "two.png")
    one, two = (Image.open(tmp_path / f"{name}.png").size for name in ("one", "two"))
    assert two == (one[0], 2 * one[1])


def test_a_run_draws_itself(tiny_checkpoint: Path, tmp_path: Path, ran: Any) -> None:
    few = ("--rounds", "1", "--warmup", "1", "--device", "cpu", "--engine", "eager", "--no-plain")
    file = tmp_path / "speed.png"
    status, told, _ = ran(main, "--checkpoint", tiny_checkpoint, *few, "--json", "--plot", file)
    assert status == 0 and json.loads(told) and Image.open(file).width > 1000


def test_mistakes(tmp_path: Path, ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not end in .png" in ran(main, "--plot", "speed.svg")[2]
    assert "there is no folder" in ran(main, "--plot", tmp_path / "no/speed.png")[2]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, told, said = ran(main, "--plot", tmp_path / "speed.png")
    assert status == 2 and not told and "pip install -e '.[train]'" in said
