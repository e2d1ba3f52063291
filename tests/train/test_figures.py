"""Figures of runs: read from what they logged, painted by what they left."""

import json
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from PIL import Image

from sdxs.train import figures
from sdxs.train.run import loop, stage


def test_curves_of_a_run_that_was_resumed(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": loss} for step, loss in ((0, 3.0), (20, 2.0), (20, 1.0))]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert figures.metrics(tmp_path) == {"loss": ([0, 20], [3.0, 1.0])}
    figures.main(["curves", str(tmp_path), "--output", str(tmp_path / "curves.png")])
    assert Image.open(tmp_path / "curves.png").width > 100


def test_curves_of_the_numbers_that_are_asked_for(tmp_path: Path) -> None:
    """Side by side, in that order; a run that has not logged one is named."""
    runs = [tmp_path / name for name in ("a", "b")]
    for run, names in zip(
        runs, (("loss", "alpha", "kappa"), ("alpha", "kappa", "loss")), strict=True
    ):
        run.mkdir()
        rows = [{"step": step, **dict.fromkeys(names, step / 20)} for step in (0, 20, 40)]
        (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    drawn: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "set_title", lambda _, title, **__: drawn.append(title))
        figures.main(["curves", *map(str, runs), "--only", "kappa", "alpha", "--output",
                      str(tmp_path / "two.png")])  # fmt: skip
    assert drawn == ["a: kappa", "a: alpha", "b: kappa", "b: alpha"]
    with pytest.raises(loop.TrainingError, match=r"a has not logged beta, but loss, alpha, kappa"):
        figures.curves(runs, tmp_path / "none.png", ["alpha", "beta"])


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(loop.TrainingError, match=r"pip install -e"):
        figures.plots()


def test_a_table_of_what_stages_left(tmp_path: Path, ran) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    stage.finish(tmp_path / "one", "autoencoder", 1800, psnr=32.5, seed=4, steps=10)
    stage.finish(tmp_path / "two", "distill", 5400, seed=6, steps=2400)
    share = {"share": 0.674, "lower": 0.6321, "upper": 0.7, "chance": 0.1, "n": 500}
    both = {"attribute_accuracy": share, "caption_accuracy": share}
    score = {"seen": both, "unseen": both}
    score |= {"distribution": {"frechet": 1.25, "diversity": 2.5, "sharpness": 0.02, "n": 5000}}
    score |= {"guard": {"seen": {"things": {"share": 0.95}, "purity": {"mean": 0.9}}}}
    (tmp_path / "two/score.json").write_text(json.dumps(score))
    _, told, _ = ran(figures.main, "table", tmp_path / "one", f"SSD={tmp_path / 'two'}")
    rows = [row.strip("| ").split(" | ") for row in told[told.index("|") :].splitlines()]
    assert rows[2][:5] == ["one", "autoencoder", "4", "10", "0.50"]
    assert rows[2][-1].endswith("psnr 32.5")
    shown = "67.4 (63.2 to 70.0)"
    assert rows[3][:13] == [
        "SSD", "distill", "6", "2400", "1.50", shown, shown, shown, "1.25", "2.5", "0.02", "0.95",
        "0.9",
    ]  # fmt: skip
    status, _, said = ran(figures.main, "table", tmp_path)
    assert status == 2 and "has no result.json" in said
