"""The same noise for the same seed as torch has on the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sdxs.model.walk import slerp

SEEDS = [0, 1, 7, 2**32 - 1, 2**32, 123_456_789_012_345, 2**63 - 1]
COUNTS = [1, 2, 5, 15, 16, 17, 31, 100, 1024, 16384]
DRAW = """
import { noise } from "./engine/noise.js";
console.log(JSON.stringify(given.map(([seed, count]) => [...noise(seed, count)])));
"""
WALK = """
import { noise } from "./engine/noise.js";
import { slerp } from "./engine/walk.js";
const [a, b] = given.ends.map((seed) => noise(seed, 64));
const opposite = a.map((value) => -value);
const along = (t) => [a, b, opposite].map((end) => [...slerp(a, end, t)]);
console.log(JSON.stringify(given.steps.map(along)));
"""


def drawn(seed: int, count: int) -> Any:
    return torch.randn(count, generator=torch.Generator("cpu").manual_seed(seed))


@pytest.mark.parametrize("as_text", [True, False])
def test_noise_is_torchs(as_text: bool, node: Callable[..., Any]) -> None:
    exact = [seed for seed in SEEDS if as_text or seed < 2**53]
    asked = [(seed, count) for seed in exact for count in COUNTS]
    given = [[str(seed) if as_text else seed, count] for seed, count in asked]
    for (seed, count), numbers in zip(asked, node(DRAW, given), strict=True):
        assert len(numbers) == count
        assert np.abs(np.array(numbers) - drawn(seed, count).numpy()).max() < 1e-5, (seed, count)


def test_noise_on_its_way_is_pythons(node: Callable[..., Any]) -> None:
    steps = [0, 0.2, 0.5, 0.9, 1]
    a, b = drawn(1, 64), drawn(2, 64)
    for t, ours in zip(steps, node(WALK, {"ends": [1, 2], "steps": steps}), strict=True):
        for end, numbers in zip((a, b, -a), ours, strict=True):
            wanted = slerp(a[None], end[None], torch.tensor([t]))[0]
            assert np.abs(np.array(numbers) - wanted.numpy()).max() < 1e-5, t
