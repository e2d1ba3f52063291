"""Styles: low-rank additions to a network's layers (LoRA, arXiv 2106.09685), row by row of a batch.

`Styled` takes the LoRA scale of every row as an argument of its own. The network's own weights are
never touched. Knows nothing of files.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.arguments import Row


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
StyleScales = Mapping[str, Tensor]  # style -> its LoRA scale for each row, (B,)


def style_scales(rows: Sequence[Row]) -> dict[str, Tensor]:
    """The LoRA scale of every row, (B,) float32, by style; of the styles in use alone."""
    used = dict.fromkeys(row.style for row in rows if row.style and row.style_scale)
    return {
        style: torch.tensor(
            [row.style_scale * (row.style == style) for row in rows], dtype=torch.float32
        )
        for style in used
    }


class Styled(nn.Module):
    """A network with styles: `forward(scales, ...)` takes the LoRA scales of a batch's rows first.

    additions: {style: {layer: addition}}, on the network's device, in its dtype, as the scales are.
    The layers read the scales of the call from here, which therefore goes on one at a time.
    """

    def __init__(self, network: nn.Module, additions: Mapping[str, Mapping[str, LowRank]]) -> None:
        super().__init__()
        self.network = network
        self._lock = threading.Lock()
        self._scales: StyleScales = {}
        by_layer: dict[str, dict[str, LowRank]] = {}
        for style, parts in additions.items():
            for layer, addition in parts.items():
                by_layer.setdefault(layer, {})[style] = addition
        for layer, of_styles in by_layer.items():
            network.get_submodule(layer).register_forward_hook(self._adder(of_styles))

    def forward(self, scales: StyleScales, *inputs: Any, **options: Any) -> Any:
        with self._lock:
            self._scales = scales
            try:
                return self.network(*inputs, **options)
            finally:
                self._scales = {}

    def _adder(self, additions: Mapping[str, LowRank]) -> Any:
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            for style, scales in self._scales.items():
                if addition := additions.get(style):
                    rows = scales.view(-1, *[1] * (output.ndim - 1))
                    output = output + rows * addition(layer, inputs[0])
            return output

        return add
