"""Figures of runs: read from what they logged, painted by what they left."""

import builtins
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from sdxs.train import figures
from sdxs.train.loop import TrainingError


def test_curves_of_a_run_that_was_resumed(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": loss} for step, loss in ((0, 3.0), (20, 2.0), (20, 1.0))]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert figures.metrics(tmp_path) == {"loss": ([0, 20], [3.0, 1.0])}
    figures.main(["curves", str(tmp_path), "--output", str(tmp_path / "curves.png")])
    assert Image.open(tmp_path / "curves.png").width > 100


def test_clouds_stand_side_by_side(tmp_path: Path) -> None:
    widths = []
    for count in (1, 3):
        clouds = {f"cloud {i}": torch.randn(50, 2) for i in range(count)}
        figures.points(clouds, tmp_path / f"{count}.png")
        widths.append(Image.open(tmp_path / f"{count}.png").width)
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.05)


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(TrainingError, match=r"pip install -e"):
        figures.plots()
