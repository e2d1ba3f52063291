"""Whether an attribute is right, by chance or not: of a sight without mistakes, in numbers."""

import random

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from sdxs.storybook.judges.accuracy import of_renders
from sdxs.storybook.judges.evaluator import Evaluator, Sight, check
from sdxs.storybook.judges.tallies import ACCURACIES, chance, mean, tally, wilson
from sdxs.storybook.world.captions import describe, described
from sdxs.storybook.world.scenes import COLOURS, Scene, sample_scenes
from sdxs.train.evaluator import labels


def perfect_sight(scenes: list[Scene]) -> Sight:
    """What an evaluator that makes no mistake would see."""
    truth = labels(scenes)

    def scores(name: str, classes: int) -> torch.Tensor:
        return one_hot(truth[name].clamp(min=0), classes).float()

    return Sight(
        present=truth["present"] * 2 - 1,
        colour=scores("colour", len(COLOURS)),
        size=scores("size", 2),
        where=truth["where"].nan_to_num(),
        sky=scores("sky", 3),
        ground=scores("ground", 4),
        features=torch.zeros(len(scenes), 1),
    )


def test_check_confirms_all_that_a_perfect_sight_sees():
    scenes, captions = described(300, seed=4, unseen="any")
    results = check(perfect_sight(scenes), captions)
    assert all(ok for row in results for _, ok in row)
    scores = tally(results)
    assert scores["caption_accuracy"] == (300, 300)
    assert scores["thing"][1] == sum(len(caption.things) for caption in captions)


@pytest.mark.parametrize(
    ("field", "broken"),
    [
        ("present", {"thing", "colour", "size", "place", "relation"}),
        ("colour", {"colour"}),
        ("size", {"size"}),
        ("sky", {"sky"}),
        ("ground", {"ground"}),
        ("where", {"place", "relation"}),
    ],
)
def test_check_finds_each_thing_that_is_wrong(field, broken):
    rng, scenes = random.Random(3), sample_scenes(120, seed=4)
    captions = [describe(scene, rng, drop=0.0) for scene in scenes]
    sight = perfect_sight(scenes)
    wrong = -getattr(sight, field) if field == "present" else getattr(sight, field).roll(1, -1)
    results = check(sight._replace(**{field: wrong}), captions)
    for name, (right, count) in tally(results).items():
        if name in broken:
            assert right < count
        elif name not in ACCURACIES:
            assert right == count


def test_chance_is_what_pictures_of_other_scenes_score():
    _, captions = described(4000, seed=21)
    others = perfect_sight(sample_scenes(4000, seed=22))
    told = chance(captions)
    for name, (right, count) in tally(check(others, captions)).items():
        if name in ("thing", "sky", "ground"):
            assert right / count == pytest.approx(told[name], abs=0.03)
    assert told["colour"] == pytest.approx(1 / 8) and 0.25 < told["relation"] < 0.5


def test_wilson_interval_of_a_known_case():
    low, high = wilson(81, 263)  # Newcombe 1998, table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_the_mean_and_its_interval() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).tolist()
    row = mean(values)
    assert row["mean"] == pytest.approx(np.mean(values), abs=1e-4) and row["n"] == 400
    reach = 1.96 * np.std(values, ddof=1) / 20
    assert row["upper"] - row["mean"] == pytest.approx(reach, abs=2e-4)
    assert row["mean"] - row["lower"] == pytest.approx(reach, abs=2e-4)


def test_larger_pictures_are_judged_as_those_of_their_own_size() -> None:
    """Of the same scenes drawn at 128 and at 256 pixels."""
    judge = Evaluator.load()
    small, large = (of_renders(judge, 60, side) for side in (128, 256))
    assert small > 0.95 and abs(large - small) < 0.02
