"""The seam between what a picture is and what computes it.

An engine is given a checkpoint's networks once and then runs them: `encode`, `denoise`, `decode`,
or the last two at once, `paint`. Nothing else touches them. All that a request brings is an
argument, styles and controls too, so that an engine which traces or captures its networks sees
everything. Noise and the safety checker stay outside. Knows nothing of files, prompts or pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sdxs.model.controls import Control
from sdxs.model.styles import Style, StyleScales
from sdxs.model.text import Words


@dataclass(frozen=True)
class Decoder:
    """An autoencoder's decoding half and the scale of the latents that it expects.

    factor: pixels per latent, along a side. channels: of the latents. dtype: it works in.
    """

    network: nn.Module
    scale: float | Tensor
    shift: float | Tensor
    dtype: torch.dtype
    factor: int
    channels: int


@dataclass(frozen=True)
class Networks:
    """What an engine is given, on the CPU: a checkpoint's networks, controls and styles by name.

    text_encoders: by the names of their folders. decoders: "tiny" and perhaps "large". A style's
    parts are for "unet" and for text encoders, by those names.
    """

    unet: nn.Module
    text_encoders: Mapping[str, nn.Module]
    decoders: Mapping[str, Decoder]
    controls: Mapping[str, nn.Module] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Of the latents that the U-Net was trained on, (h, w)."""
        config: Any = self.unet.config
        side = config.sample_size
        return (side, side) if isinstance(side, int) else tuple(side)

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side: the same for each decoder."""
        return self.decoders["tiny"].factor

    def decoding_in(self, dtype: torch.dtype) -> "Networks":
        """The same with decoders that compute in a dtype."""
        decoders = {
            name: replace(decoder, network=decoder.network.to(dtype), dtype=dtype)
            for name, decoder in self.decoders.items()
        }
        return replace(self, decoders=decoders)


class Engine(Protocol):
    """What runs the networks. Tensors may come from any device; those given back are on its own.

    styles: of each style in use, its LoRA scale for every row, (B,). controls: one record for each
    ControlNet in use. Any number of threads may call an engine, also with different styles.
    """

    def encode(self, ids: Sequence[Tensor], styles: StyleScales) -> Words:
        """Embeddings from token ids (B, L), one tensor for each text encoder."""

    def denoise(
        self,
        noise: Tensor,
        words: Words,
        styles: StyleScales,
        controls: Sequence[Control],
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """Clean latents (B, C, h, w), float32, from unit noise of that shape: one U-Net call and
        the scheduler's step. `generators` serve schedulers that add noise."""

    def decode(self, latents: Tensor, decoder: str) -> Tensor:
        """Images (B, 3, H, W), float32, nominally [-1, 1], unclamped, from latents (B, C, h, w)."""

    def paint(
        self,
        noise: Tensor,
        words: Words,
        styles: StyleScales,
        controls: Sequence[Control],
        decoder: str,
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """Pixels (B, H, W, 3), uint8 on the CPU: `denoise`, `decode`, clamped and rounded. Raises
        SDXSError where the networks give numbers that are not finite."""
