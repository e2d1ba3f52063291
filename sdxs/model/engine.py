"""The seam between what a picture is and what computes it.

An engine is given a checkpoint's networks once and then runs them: `encode`, `predict`, `decode`.
Nothing else touches them. All that a request brings is an argument, styles and controls too, so
that an engine which traces or captures its networks sees everything. Noise, the scheduler's step
and the safety checker stay outside. Knows nothing of files, prompts or pictures.

A new engine is a class with the three functions and a row in `ENGINES`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sdxs.arguments import choice
from sdxs.model.controls import Control, residuals
from sdxs.model.styles import Style, Styled, StyleScales
from sdxs.model.text import Words, embed

AUTO = "auto"


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
    def factor(self) -> int:
        """Pixels per latent, along a side: the same for each decoder."""
        return self.decoders["tiny"].factor


class Engine(Protocol):
    """What runs the networks. Tensors may come from any device; those given back are on its own.

    styles: of each style in use, its LoRA scale for every row, (B,). controls: one record for each
    ControlNet in use. Any number of threads may call an engine, also with different styles.
    """

    def encode(self, ids: Sequence[Tensor], styles: StyleScales) -> Words:
        """Embeddings from token ids (B, L), one tensor for each text encoder."""

    def predict(
        self, x: Tensor, t: Tensor, words: Words, styles: StyleScales, controls: Sequence[Control]
    ) -> Tensor:
        """The U-Net's prediction (B, C, h, w), float32, from x of that shape, and t () or (B,).

        x: as the scheduler scales it, about unit variance. What is predicted (noise, x0, v) is the
        scheduler's business.
        """

    def decode(self, latents: Tensor, decoder: str) -> Tensor:
        """Images (B, 3, H, W), float32, nominally [-1, 1], unclamped, from latents (B, C, h, w)."""


class EagerEngine:
    """PyTorch as it is: one network after the other, on any device, in channels_last."""

    def __init__(self, networks: Networks, device: torch.device, dtype: torch.dtype) -> None:
        layout: Any = {"memory_format": torch.channels_last}
        decoders = [decoder.network for decoder in networks.decoders.values()]
        for network in (networks.unet, *decoders, *networks.controls.values()):
            network.to(device, **layout)
        for network in networks.text_encoders.values():
            network.to(device)
        self.networks = networks
        self._place: Any = {"device": device, "dtype": dtype}
        self._styled: dict[str, Any] = {
            name: styled
            for name, network in {"unet": networks.unet, **networks.text_encoders}.items()
            if (styled := self._with_styles(name, network))
        }

    @torch.no_grad()
    def encode(self, ids: Sequence[Tensor], styles: StyleScales) -> Words:
        names = self.networks.text_encoders
        encoders = [self._call(name, network, styles) for name, network in names.items()]
        return embed(encoders, [row.to(self._place["device"]) for row in ids])

    @torch.no_grad()
    def predict(
        self, x: Tensor, t: Tensor, words: Words, styles: StyleScales, controls: Sequence[Control]
    ) -> Tensor:
        x = x.to(**self._place, memory_format=torch.channels_last)
        added = self._added(x, words)
        prediction: Tensor = self._call("unet", self.networks.unet, styles)(
            x,
            t,
            encoder_hidden_states=words.states,
            added_cond_kwargs=added,
            return_dict=False,
            **residuals(self.networks.controls, controls, x, t, words.states, added),
        )[0]
        return prediction.float()

    @torch.no_grad()
    def decode(self, latents: Tensor, decoder: str) -> Tensor:
        chosen, device = self.networks.decoders[decoder], self._place["device"]
        scale, shift = (torch.as_tensor(v, device=device) for v in (chosen.scale, chosen.shift))
        x = (latents.to(device, torch.float32) / scale + shift).to(chosen.dtype)
        network: Any = chosen.network
        images: Tensor = network.decode(
            x.contiguous(memory_format=torch.channels_last), return_dict=False
        )[0]
        return images.float().contiguous()

    def _with_styles(self, name: str, network: nn.Module) -> Styled | None:
        """A network with the additions that styles have for it; None where there are none."""
        additions = {
            style: {layer: addition.to(**self._place) for layer, addition in parts[name].items()}
            for style, parts in self.networks.styles.items()
            if name in parts
        }
        return Styled(network, additions) if additions else None

    def _call(self, name: str, network: nn.Module, styles: StyleScales) -> Any:
        """A network as a function of its own arguments."""
        if name not in self._styled:
            return network
        placed = {style: scales.to(**self._place) for style, scales in styles.items()}
        return functools.partial(self._styled[name], placed)

    def _added(self, x: Tensor, words: Words) -> dict[str, Tensor] | None:
        """What SDXL's U-Net is told beside the prompt: its pooled embedding and the size.

        The picture is whole and not upscaled: (height, width, 0, 0, height, width) (SDXL, arXiv
        2307.01952, section 2.2).
        """
        if words.pooled is None:
            return None
        height, width = (side * self.networks.factor for side in x.shape[-2:])
        times = torch.tensor([height, width, 0, 0, height, width], device=x.device)
        return {"text_embeds": words.pooled, "time_ids": times.to(x.dtype).expand(len(x), -1)}


ENGINES: dict[str, Callable[[Networks, torch.device, torch.dtype], Engine]] = {
    "eager": EagerEngine,
}


def choose_engine(engine: str) -> str:
    """A name of `ENGINES`; "auto" is the eager one, until there are faster. Raises InputError."""
    asked = choice("engine", engine, (AUTO, *ENGINES), " (faster engines are yet to come)")
    return "eager" if asked == AUTO else asked
