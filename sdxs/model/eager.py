"""The eager engine: PyTorch as it is, one network after the other, on any device.

The reference for every other engine, and what they trace. Knows nothing of files or prompts.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sdxs.model.controls import Control, residuals
from sdxs.model.engine import Networks
from sdxs.model.schedule import OneStep
from sdxs.model.styles import Styled, StyleScales
from sdxs.model.text import Words, embed
from sdxs.picture import check_finite, to_pixels


def size_ids(noise: Tensor, factor: int) -> Tensor:
    """What SDXL's U-Net is told of the size beside the prompt, (B, 6), for noise (B, C, h, w).
    factor: pixels per latent, along a side.

    The picture is whole and not upscaled: (height, width, 0, 0, height, width) (SDXL, arXiv
    2307.01952, section 2.2).
    """
    height, width = (side * factor for side in noise.shape[-2:])
    time_ids = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)
    return time_ids.expand(len(noise), -1)


class EagerEngine:
    """Runs the networks in channels_last on a device, in a dtype; the step in float32, because
    epsilon prediction magnifies errors 14.6 times."""

    def __init__(
        self, networks: Networks, one_step: OneStep, device: torch.device, dtype: torch.dtype
    ) -> None:
        layout: Any = {"memory_format": torch.channels_last}
        decoders = [decoder.network for decoder in networks.decoders.values()]
        for network in (networks.unet, *decoders, *networks.controls.values()):
            network.to(device, **layout)
        for network in networks.text_encoders.values():
            network.to(device)
        self.networks = networks
        self.one_step = one_step
        self.timestep = one_step.timestep.to(device)  # (); here once, not with each picture
        self.device = device
        self.dtype = dtype
        self._place: Any = {"device": device, "dtype": dtype}
        self._scaling = {  # of each decoder's latents: scale and shift
            name: [torch.as_tensor(v, device=device) for v in (decoder.scale, decoder.shift)]
            for name, decoder in networks.decoders.items()
        }
        self._styled: dict[str, Any] = {
            name: styled
            for name, network in {"unet": networks.unet, **networks.text_encoders}.items()
            if (styled := self._with_styles(name, network))
        }

    @torch.no_grad()
    def encode(self, ids: Sequence[Tensor], styles: StyleScales) -> Words:
        names = self.networks.text_encoders
        encoders = [self._call(name, network, styles) for name, network in names.items()]
        return embed(encoders, [row.to(self.device) for row in ids])

    @torch.no_grad()
    def denoise(
        self,
        noise: Tensor,
        words: Words,
        styles: StyleScales,
        controls: Sequence[Control],
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        time_ids = size_ids(noise, self.networks.factor)

        def predict(x: Tensor, t: Tensor) -> Tensor:
            return self.predict(x, t, words, time_ids, styles, controls)

        return self.one_step(noise, predict, generators)

    @torch.no_grad()
    def predict(
        self,
        x: Tensor,
        t: Tensor,
        words: Words,
        time_ids: Tensor,
        styles: StyleScales,
        controls: Sequence[Control],
    ) -> Tensor:
        """The U-Net's prediction (B, C, h, w), float32, from x of that shape, and t () or (B,).

        x: as the scheduler scales it, about unit variance. time_ids (B, 6): see `size_ids`. What is
        predicted (noise, x0, v) is the scheduler's business.
        """
        x = x.to(**self._place, memory_format=torch.channels_last)
        states = words.states.to(**self._place)
        added = None
        if words.pooled is not None:
            added = {"text_embeds": words.pooled.to(**self._place), "time_ids": time_ids.to(x)}
        prediction: Tensor = self._call("unet", self.networks.unet, styles)(
            x,
            t,
            encoder_hidden_states=states,
            added_cond_kwargs=added,
            return_dict=False,
            **residuals(self.networks.controls, controls, x, t, states, added),
        )[0]
        return prediction.float()

    @torch.no_grad()
    def decode(self, latents: Tensor, decoder: str) -> Tensor:
        chosen, (scale, shift) = self.networks.decoders[decoder], self._scaling[decoder]
        x = (latents.to(self.device, torch.float32) / scale + shift).to(chosen.dtype)
        network: Any = chosen.network
        images: Tensor = network.decode(
            x.contiguous(memory_format=torch.channels_last), return_dict=False
        )[0]
        return images.float().contiguous()

    @torch.no_grad()
    def paint(
        self,
        noise: Tensor,
        words: Words,
        styles: StyleScales,
        controls: Sequence[Control],
        decoder: str,
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        clean = self.denoise(noise, words, styles, controls, generators)
        return to_pixels(check_finite(self.decode(clean, decoder), self.dtype)).cpu()

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
