"""Styles: low-rank additions to a checkpoint's layers (LoRA, arXiv 2106.09685), worn row by row.

Attached, a style changes nothing; inside `wearing` each row of a batch gets the styles it asks for,
in that thread alone. The networks' own weights are never touched. Knows nothing of files.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class LowRank:
    """What a style adds to one layer: `up` of `down` of the layer's input; `up` holds the scale.

    down (r, in) or (r, in, k, k), up (out, r) or (out, r, 1, 1).
    """

    down: Tensor
    up: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "LowRank":
        return LowRank(self.down.to(device, dtype), self.up.to(device, dtype))

    def __call__(self, layer: nn.Module, x: Tensor) -> Tensor:
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, self.down, None, layer.stride, layer.padding, layer.dilation)
            return F.conv2d(x, self.up)
        return F.linear(F.linear(x, self.down), self.up)


Style = dict[str, dict[str, LowRank]]  # network -> layer -> what is added
_worn: ContextVar[Mapping[str, Tensor] | None] = ContextVar("worn", default=None)


@contextlib.contextmanager
def wearing(strengths: Mapping[str, Tensor]) -> Iterator[None]:
    """Styles by name, each with the strength of every row (B,), in this thread until the end.

    The strengths are on the networks' device, in their dtype.
    """
    token = _worn.set(strengths or None)
    try:
        yield
    finally:
        _worn.reset(token)


def attach(network: nn.Module, styles: Mapping[str, Mapping[str, LowRank]]) -> None:
    """Give a network's layers their additions, style by style: {style: {layer: addition}}."""
    by_layer: dict[str, dict[str, LowRank]] = {}
    for style, additions in styles.items():
        for layer, addition in additions.items():
            by_layer.setdefault(layer, {})[style] = addition
    for layer, additions in by_layer.items():
        network.get_submodule(layer).register_forward_hook(_adder(additions))


def _adder(additions: Mapping[str, LowRank]) -> Any:
    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        for style, strengths in (_worn.get() or {}).items():
            if addition := additions.get(style):
                rows = strengths.view(-1, *[1] * (output.ndim - 1))
                output = output + rows * addition(layer, inputs[0])
        return output

    return add
