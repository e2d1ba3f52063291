"""The judge of styles, and what it learns from."""

import torch

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
