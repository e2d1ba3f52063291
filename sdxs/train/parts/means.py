"""The mean of weights: WiSE-FT (arXiv 2109.01903), model soups (arXiv 2203.05482)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sdxs.train.run import loop

Weights = Mapping[str, Tensor]


def even(shares: Sequence[float], count: int) -> tuple[float, ...]:
    """Shares of `count` in a mean, as much of each where none are given. Raises TrainingError."""
    if count < 2:
        raise loop.TrainingError("a mean is of two at least: give them all")
    shares = tuple(shares) or (1 / count,) * count
    if len(shares) != count or abs(sum(shares) - 1) > 1e-3:
        raise loop.TrainingError(f"--shares takes one for each of the {count}, 1 in all")
    return shares


@torch.no_grad()
def mean(states: Sequence[Weights], shares: Sequence[float]) -> dict[str, Tensor]:
    """By name, in float32 at least. Raises TrainingError for layers that are not alike."""
    shapes = [{name: part.shape for name, part in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise loop.TrainingError("these have different layers: there is no mean")
    return {
        name: torch.stack(
            [s * state[name].float() for s, state in zip(shares, states, strict=True)]
        ).sum(0)
        for name in states[0]
    }
