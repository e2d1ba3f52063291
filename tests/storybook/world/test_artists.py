"""Other artists draw the same scene: things stay where they are and keep their hue."""

import itertools
import random

import numpy as np
import pytest
import torch
from skimage.color import rgb2hsv
from torch.nn import functional as F

from sdxs.storybook.world.artists import ARTISTS, Artist, any_artist, redraw
from sdxs.storybook.world.render import Render, render
from sdxs.storybook.world.scenes import Scene, sample_scenes


@pytest.fixture(params=ARTISTS.values(), ids=ARTISTS)
def artist(request) -> Artist:
    return request.param


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


def test_things_keep_their_hue(artist, scenes, drawn):
    before, after = hues(drawn.picture), hues(redraw(drawn, artist))
    for index, scene in enumerate(scenes):
        for slot, thing in enumerate(scene.things):
            core = -F.max_pool2d(-drawn.seen[index, slot][None, None], 5, 1, 2)[0, 0] > 0.9
            both = core.numpy() & np.isfinite(before[index]) & np.isfinite(after[index])
            if thing.colour == "white" or both.sum() < 30:
                continue
            turned = (after[index] - before[index] + 180) % 360 - 180
            assert abs(np.median(turned[both])) < 15, (thing, np.median(turned[both]))


def test_an_artist_changes_the_picture_and_keeps_its_range(artist, drawn):
    pictures = redraw(drawn, artist)
    assert pictures.shape == drawn.picture.shape
    assert pictures.min() >= -1 and pictures.max() <= 1
    assert (pictures - drawn.picture).abs().mean((1, 2, 3)).min() > 0.1


def test_a_picture_does_not_depend_on_its_batch(artist, scenes):
    together = redraw(render(scenes[:4]), artist)
    alone = redraw(render(scenes[2:3]), artist)
    torch.testing.assert_close(together[2:3], alone)


def test_a_larger_picture_is_the_same_drawing(artist, scenes):
    small, large = (redraw(render(scenes[:4], size), artist) for size in (128, 256))
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
