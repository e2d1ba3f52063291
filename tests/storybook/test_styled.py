"""What a style is scored by, at every strength."""

import json
import shutil

import torch

from sdxs import sources
from sdxs.storybook import styled
from sdxs.storybook.judges.styles import StyleJudge


def test_a_style_is_scored_by_strength(tiny_checkpoint, tiny_style, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    StyleJudge().save(tmp_path / "evaluator" / "hands")  # it has learnt nothing
    monkeypatch.setattr(sources, "OWN_WEIGHTS", tmp_path)
    shutil.copytree(tiny_style, tmp_path / "styles" / "anime")
    options = ["--checkpoint", str(tiny_checkpoint), "--style", "anime", "--count", "3"]
    assert styled.main(options) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])["strengths"]
    assert list(scores) == ["0", "0.25", "0.5", "0.75", "1"]
    assert scores["0"]["iou"] == 1
    for row in scores.values():
        bounds = [row["attribute_accuracy"][key] for key in ("lower", "share", "upper")]
        assert [0, *bounds, 1] == sorted([0, *bounds, 1])
