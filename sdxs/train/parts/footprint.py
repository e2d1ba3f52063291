"""Bytes that networks take in training, by closed form: of a rank, activations aside.

Learning weights and their gradients are float32; AdamW keeps two moments of each, in float32 or in
8 bits with a float32 scale for every block; a running mean is another copy. Knows nothing of
stages.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from sdxs.train.run.options import Scale

BLOCK = 256  # numbers of 8 bits that share a scale (bitsandbytes)


@dataclass(frozen=True)
class Held:
    """A network. parameters: of it. learning: how many of them learn. moments: what the optimizer
    keeps of each. mean: whether there is a running mean of them."""

    name: str
    parameters: int
    learning: int = 0
    moments: int = 2
    mean: bool = False

    def __str__(self) -> str:
        learning = f", {self.learning / 1e6:.2f} M learning" * bool(self.learning)
        return f"{self.name}: {self.parameters / 1e6:.2f} M{learning}"


def frozen(name: str, network: nn.Module) -> Held:
    """One that stays as it is."""
    return Held(name, count(network))


def learns(name: str, network: nn.Module, **how: Any) -> Held:
    """One of which those weights learn that ask for a gradient."""
    return Held(name, count(network), count(network, learning=True), **how)


def count(network: nn.Module, *, learning: bool = False) -> int:
    """Its parameters; or those of them that learn."""
    return sum(w.numel() for w in network.parameters() if w.requires_grad or not learning)


def footprint(
    held: Iterable[Held], scale: Scale, *, in_bf16: bool = False, ranks: int = 1
) -> dict[str, float]:
    """Bytes by what they are for. in_bf16: the networks of which nothing learns are. ranks: among
    which each network is shared out."""
    every = list(held)
    moment = 1 + 4 / BLOCK if scale.eight_bit else 4
    found = {
        "weights": sum(4 * each.parameters for each in every if each.learning),
        "gradients": sum(4 * each.learning for each in every),
        "optimizer": sum(moment * each.moments * each.learning for each in every),
        "running mean": sum(4 * each.learning for each in every if each.mean),
        "frozen": sum((2 if in_bf16 else 4) * each.parameters for each in every
                      if not each.learning),
    }  # fmt: skip
    return {name: size / ranks for name, size in found.items()}
