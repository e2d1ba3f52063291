"""Scenes and their renders: what outside checks and every score rely on."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2hsv

from sdxs.storybook.world.render import PALETTE, render
from sdxs.storybook.world.scenes import COLOURS, SKIES, THINGS, Scene, Thing, sample_scenes
from sdxs.storybook.world.words import UNSEEN_PAIRS


def test_a_scene_depends_on_its_seed_and_number_alone():
    assert sample_scenes(5, seed=3) == sample_scenes(9, seed=3)[:5]
    assert sample_scenes(5, seed=3) != sample_scenes(5, seed=4)


def test_the_same_scene_gives_the_same_picture_in_any_batch():
    scenes = sample_scenes(6, seed=1)
    together, alone = render(scenes, 64).picture, render(scenes[4:5], 64).picture
    assert torch.equal(together[4:5], alone)


def test_a_render_is_a_picture_with_depth_and_masks():
    scenes = sample_scenes(12, seed=2)
    result = render(scenes, 64)
    assert result.picture.shape == (12, 3, 64, 64)
    assert -1 <= result.picture.min() < -0.5 < 0.5 < result.picture.max() <= 1
    assert result.depth.min() >= 0 and result.depth.max() <= 1
    for row, scene in enumerate(scenes):
        assert (result.seen[row].amax((1, 2)) > 0.9).tolist() == [True, len(scene.things) == 2]


def test_at_least_two_fifths_of_every_thing_are_visible():
    scenes = sample_scenes(400, seed=11, unseen="any")
    assert render(scenes, 64).visible.min() >= 0.4


def test_a_thing_in_front_is_nearer_than_the_one_behind():
    for scene in sample_scenes(200, seed=5):
        if scene.layout == "depth":
            behind, front = scene.things
            result = render([scene], 64)
            depths = [float((result.depth * m).sum() / m.sum()) for m in result.seen[0]]
            assert depths[1] > depths[0] and front.y > behind.y


@pytest.mark.parametrize("kind", THINGS)
def test_a_thing_keeps_its_hue_within_15_degrees_under_every_sky(kind):
    things = [Thing(kind, hue, "big", 0.5, 0.8, 0.44) for hue in COLOURS if hue != "white"]
    scenes = [Scene(sky, "grass", "alone", (it,), 0.45, 5) for it in things for sky in SKIES]
    result = render(scenes, 64)
    for row, scene in enumerate(scenes):
        mask = result.seen[row, 0] > 0.99
        pixels = (result.picture[row].permute(1, 2, 0)[mask] + 1) / 2
        hue, saturation, _ = rgb2hsv(pixels.numpy()).T
        turned = hue - rgb2hsv(np.array(PALETTE[scene.things[0].colour]))[0]
        near = (np.abs((turned + 0.5) % 1 - 0.5) * 360 <= 15) & (saturation > 0.15)
        least = 0.95 if kind in ("ball", "cube", "cone", "star", "heart") else 0.55
        assert near.mean() > least, (kind, scene.things[0].colour, scene.sky)


def test_training_never_shows_the_unseen_pairs_and_the_composition_test_always_does():
    pairs = {(t.colour, t.kind) for s in sample_scenes(2000, seed=8) for t in s.things}
    assert not pairs & UNSEEN_PAIRS and len(pairs) == 80 - len(UNSEEN_PAIRS)
    for scene in sample_scenes(50, seed=8, unseen="always"):
        assert any((t.colour, t.kind) in UNSEEN_PAIRS for t in scene.things)
