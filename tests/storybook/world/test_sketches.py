"""Sketches that are only begun: what is left of a picture's lines."""

import random

import numpy as np
import pytest

from sdxs.storybook.world import sketches
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import sample_scenes

SIDE = 128


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Pictures, where their things are, and their horizons."""
    scenes = sample_scenes(30, 5)
    result = render(scenes, SIDE)
    pictures = sketches.to_bytes(result.picture)
    rows = zip(pictures, result.seen.numpy(), scenes, strict=True)
    return [(picture, seen, scene.horizon) for picture, seen, scene in rows]


def lines(drawn: list, chance: int) -> list[np.ndarray]:
    return [sketches.begun(*each, random.Random(chance + i)) for i, each in enumerate(drawn)]


def test_busy_ones_are_sketches_as_before(drawn, monkeypatch) -> None:
    monkeypatch.setattr(sketches, "BUSY", 1.0)
    for i, page in enumerate(lines(drawn, 0)):
        rng = random.Random(i)
        rng.random()  # whether it is busy
        assert (page == sketches.sketch(drawn[i][0], rng)).all()


@pytest.mark.parametrize("one_of_two", [0.0, 1.0])
def test_others_are_of_things_alone(drawn, monkeypatch, one_of_two: float) -> None:
    monkeypatch.setattr(sketches, "BUSY", 0.0)
    monkeypatch.setattr(sketches, "HORIZON", 0.0)
    monkeypatch.setattr(sketches, "ONE_OF_TWO", one_of_two)
    both = 0
    for (_, seen, _), page in zip(drawn, lines(drawn, 7), strict=True):
        reach = sketches.cv2.dilate(seen.max(0), np.ones((11, 11), np.uint8))
        assert page.max() > 100 and (page[reach < 0.5] < 60).all()
        both += all((page[part > 0.5] > 60).any() for part in seen if part.max() > 0.5)
    two = sum((seen.max((1, 2)) > 0.5).all() for _, seen, _ in drawn)
    assert two > 10 and both >= len(drawn) - two * one_of_two
    assert (both == len(drawn)) == (one_of_two == 0)


def test_a_horizon_is_straight_and_where_it_is(drawn, monkeypatch) -> None:
    monkeypatch.setattr(sketches, "BUSY", 0.0)
    monkeypatch.setattr(sketches, "HORIZON", 1.0)
    for (_, _, horizon), page in zip(drawn, lines(drawn, 3), strict=True):
        row = round(horizon * SIDE)
        assert (page[row - 2 : row + 3].max(0) > 100).all()
        assert page[: row - 12, :8].max() == 0
