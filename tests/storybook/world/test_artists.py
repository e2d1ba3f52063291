"""Other artists draw the same scene: things stay where they are and keep their hue."""

import itertools
import random

import numpy as np
import pytest
import torch
from skimage.color import rgb2hsv
from torch.nn import functional as F

from sdxs.storybook.world.artists import ARTISTS, any_artist, redraw
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import Scene, sample_scenes


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return sample_scenes(24, 5, unseen="any")


@pytest.fixture(scope="module")
def drawn(scenes) -> Render:
    return render(scenes)


def hues(pictures: torch.Tensor) -> np.ndarray:
    """Hue in degrees (B, R, R) and where it means something."""
    hsv = rgb2hsv(((pictures + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1).numpy())
    return np.where(hsv[..., 1] > 0.3, 360 * hsv[..., 0], np.nan)


@pytest.mark.parametrize("name", ARTISTS)
def test_things_keep_their_hue(name, scenes, drawn):
    before, after = hues(drawn.picture), hues(redraw(drawn, ARTISTS[name]))
    for index, scene in enumerate(scenes):
        for slot, thing in enumerate(scene.things):
            core = -F.max_pool2d(-drawn.seen[index, slot][None, None], 5, 1, 2)[0, 0] > 0.9
            both = core.numpy() & np.isfinite(before[index]) & np.isfinite(after[index])
            if thing.colour == "white" or both.sum() < 30:
                continue
            turned = (after[index] - before[index] + 180) % 360 - 180
            assert abs(np.median(turned[both])) < 15, (thing, np.median(turned[both]))


@pytest.mark.parametrize("name", ARTISTS)
def test_an_artist_changes_the_picture_and_keeps_its_range(name, drawn):
    pictures = redraw(drawn, ARTISTS[name])
    assert pictures.shape == drawn.picture.shape
    assert pictures.min() >= -1 and pictures.max() <= 1
    assert (pictures - drawn.picture).abs().mean((1, 2, 3)).min() > 0.1


@pytest.mark.parametrize("name", ARTISTS)
def test_a_picture_does_not_depend_on_its_batch(name, scenes):
    together = redraw(render(scenes[:4]), ARTISTS[name])
    alone = redraw(render(scenes[2:3]), ARTISTS[name])
    torch.testing.assert_close(together[2:3], alone)


@pytest.mark.parametrize("name", ARTISTS)
def test_a_larger_picture_is_the_same_drawing(name, scenes):
    small, large = (redraw(render(scenes[:4], size), ARTISTS[name]) for size in (128, 256))
    shrunk = F.avg_pool2d(large, 2)
    assert (shrunk - small).abs().mean() < 0.12


def test_artists_at_random_differ_and_stay_in_range(drawn):
    rng = random.Random(3)
    artists = [any_artist(rng) for _ in range(12)]
    assert artists == [any_artist(chance) for chance in [random.Random(3)] for _ in range(12)]
    pictures = [redraw(drawn, artist) for artist in artists]
    for one, other in itertools.pairwise(pictures):
        assert one.min() >= -1 and one.max() <= 1
        assert (one - other).abs().mean() > 0.03
