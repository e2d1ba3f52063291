"""The judge of styles, and what a style is scored by."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from sdxs.checkpoint import find
from sdxs.storybook import styled
from sdxs.storybook.judges.styles import StyleJudge, iou, of_artists
from sdxs.storybook.world.artists import ARTISTS
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import sample_scenes
from sdxs.train.evaluator import drawn_by_artists


def test_iou_of_squares():
    one, other = torch.zeros(3, 1, 8, 8, dtype=torch.bool), torch.zeros(3, 1, 8, 8, dtype=bool)
    one[0, 0, :4], other[0, 0, 2:6] = True, True  # half of each in both
    one[1, 0, 0, 0] = True  # nothing of it
    torch.testing.assert_close(iou(one, other), torch.tensor([1 / 3, 0.0, 1.0]))


def test_the_judge_sees_what_an_evaluator_sees_and_more(tmp_path):
    judge = StyleJudge().eval()
    pictures = render(sample_scenes(2, 1)).picture
    with torch.no_grad():
        sight, artist, mask = judge.all(pictures)
        torch.testing.assert_close(judge(pictures).present, sight.present)
    assert artist.shape == (2, 1 + len(ARTISTS)) and mask.shape == (2, 1, 64, 64)
    judge.save(tmp_path)
    assert isinstance(StyleJudge.load(tmp_path), StyleJudge)
    assert set(of_artists(judge, 2, 128)) == {
        f"{name}_{score}"
        for name in ("plain", *ARTISTS)
        for score in ("attribute_accuracy", "artist", "iou")
    }


def test_artists_are_drawn_as_they_are_named():
    scenes = sample_scenes(24, 4, unseen="any")
    pictures, artists, masks = drawn_by_artists(scenes, 64, 3)
    assert pictures.shape == (24, 3, 64, 64) and masks.shape == (24, 1, 32, 32)
    assert (artists[:8] == 0).all() and (artists[8:16] > 0).all() and (artists[16:] == -1).all()
    plain = ((render(scenes, 64).picture + 1) * 127.5).round().byte()
    assert torch.equal(pictures[:8], plain[:8])
    assert (pictures[8:].float() - plain[8:].float()).abs().mean((1, 2, 3)).min() > 5


@pytest.fixture
def ours(tiny_model, tmp_path, monkeypatch) -> Path:
    """A style of the tiny checkpoint, and a judge that has learnt nothing."""
    torch.manual_seed(0)
    StyleJudge().save(tmp_path / "evaluator" / "hands")
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(find, "OWN_WEIGHTS", tmp_path)
    return tmp_path


def test_a_style_is_scored_by_strength(ours, tiny_checkpoint, tiny_style, capsys):
    shutil.copytree(tiny_style, ours / "styles" / "anime")
    options = ["--checkpoint", str(tiny_checkpoint), "--style", "anime", "--count", "3"]
    assert styled.main(options) == 0
    scores = json.loads(capsys.readouterr().out.splitlines()[-1])["strengths"]
    assert list(scores) == ["0", "0.25", "0.5", "0.75", "1"]
    assert scores["0"]["iou"] == 1
    for row in scores.values():
        assert (
            0
            <= row["attribute_accuracy"]["lower"]
            <= row["attribute_accuracy"]["share"]
            <= row["attribute_accuracy"]["upper"]
            <= 1
        )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--style", "./mine"], "which artist is ./mine"),
        (["--style", "anime", "--count", "0"], "from 1 to 1000"),
        (["--style", "anime"], "there is no style 'anime'"),
    ],
)
def test_mistakes_are_one_line(ours, tiny_checkpoint, capsys, options, why):
    try:
        status = styled.main(["--checkpoint", str(tiny_checkpoint), *options])
    except SystemExit as left:
        status = left.code
    assert status == 2
    assert why in capsys.readouterr().err
