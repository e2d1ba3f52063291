"""The pipeline: `SDXS.load` puts a checkpoint on a device, calling it paints pictures in one step.

`__call__` is the hot path, a few named steps from prompts to pictures. Knows nothing of pages,
commands or training; files are `loading`'s business and names are `weights`'.
"""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sdxs import request
from sdxs.config import EMBEDDED
from sdxs.errors import InputError, PromptCutWarning
from sdxs.hardware import choose_device, choose_dtype
from sdxs.loading import Parts, load_parts
from sdxs.picture import to_pictures
from sdxs.schedule import draw_noise, seeded
from sdxs.weights import Source, resolve

log = logging.getLogger(__name__)


class SDXS:
    """A one-step text-to-picture model, made by `SDXS.load`. Immutable: calls change nothing.

    Any number of threads may call it. `checkpoint`, `device`, `dtype` and `size` (width, height)
    say what was chosen, `source` why, `decoders` which of "tiny" and "large" there are.
    """

    def __init__(
        self, parts: Parts, source: Source, device: torch.device, dtype: torch.dtype
    ) -> None:
        layout = torch.channels_last
        self._unet: Any = parts.unet.to(device, memory_format=layout)
        self._text_encoder: Any = parts.text_encoder.to(device)
        for decoder in parts.decoders.values():
            decoder.network.to(device, memory_format=layout)
        self._decoders = parts.decoders
        self._reader = parts.reader
        self._one_step = parts.one_step

        facts = self._unet.config
        side = facts.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        self._channels: int = facts.in_channels
        self._factor = parts.decoders["tiny"].factor
        self._multiple = self._factor * 2 ** (len(facts.down_block_types) - 1)

        self.source = source
        self.checkpoint = source.name
        self.device = device
        self.dtype = dtype
        self.size: tuple[int, int] = (width * self._factor, height * self._factor)
        self.decoders: tuple[str, ...] = tuple(parts.decoders)

    @classmethod
    def load(
        cls,
        checkpoint: str | os.PathLike[str] = "auto",
        *,
        styles: str | Sequence[str] | Mapping[str, str] | None = None,
        controls: str | Sequence[str] | Mapping[str, str] | None = None,
        safety: bool | str = "auto",
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        engine: str = "auto",
    ) -> "SDXS":
        """Load a checkpoint: a name under `weights/`, a local folder, or a Hub id.

        "auto" is `SDXS_CHECKPOINT` if set, else the real model if it is already in the local Hub
        cache, else the embedded one. `device`: "auto" is CUDA, then MPS, then CPU. `dtype`: "auto"
        is float16 on CUDA and MPS, bfloat16 on a CPU with AMX or AVX512-BF16, else float32.
        `styles`, `controls` and safety=True are not available yet.

        Raises InputError for an argument that makes no sense here, CheckpointError for a
        checkpoint that is missing, incomplete, damaged or of an unknown kind.
        """
        for name, wanted in (("styles", styles), ("controls", controls)):
            if wanted:
                raise InputError(f"{name} must be left out: this version has no {name} yet")
        _check_safety(safety)
        request.choice("engine", engine, ("auto", "eager"), " (faster engines are yet to come)")
        place = choose_device(device)
        kind = choose_dtype(dtype, place)
        source = resolve(checkpoint)
        model = cls(load_parts(source.folder, kind), source, place, kind)
        log.info("%s on %s in %s: %s", model.checkpoint, place, kind, source.reason)
        if source.hint:
            log.info("for the real model: %s", source.hint)
        _say_safety(source, safety)
        return model

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        *,
        seed: int | Sequence[int] = 0,
        size: int | tuple[int, int] | None = None,
        decoder: str = "tiny",
        style: Any = None,
        style_scale: Any = 1.0,
        control: Any = None,
        control_image: Any = None,
        control_scale: Any = 1.0,
        latents: Tensor | None = None,
        output_type: str = "pil",
        **unknown: Any,
    ) -> Any:
        """Paint a prompt: one picture for a string, a list for a list, in one batched U-Net call.

        `seed`: 0 to 2**63 - 1, or one for each prompt. `size`: a side or (width, height) in
        pixels. `latents` (B, C, H/8, W/8), unit variance, replaces the seed's noise. `output_type`
        "pil" gives PIL.Image.Image, "pt" the decoder's output (B, 3, H, W), float32, nominally
        [-1, 1], not clamped. Styles and controls are not available yet.

        Raises InputError. Warns with PromptCutWarning when a prompt is longer than the window.
        """
        request.refuse(unknown, self.__call__)
        prompts = request.prompts(prompt)
        request.none_yet("style", style, None, len(prompts))
        request.none_yet("style_scale", style_scale, 1.0, len(prompts))
        request.none_yet("control", control, None, len(prompts))
        request.none_yet("control_image", control_image, None, len(prompts))
        request.none_yet("control_scale", control_scale, 1.0, len(prompts))
        request.choice("output_type", output_type, request.OUTPUT_TYPES)
        self._check_decoder(decoder)
        generators = seeded(request.seeds(seed, len(prompts)))
        noise = self._given(latents, size, len(prompts))
        if noise is None:
            noise = self.noise(generators, request.size(size, self.size, self._multiple))
        self._warn_cut_off(prompts)

        words = self.encode(prompts)  # (B, L, D)
        clean = self.denoise(noise, words, generators)  # (B, C, H/8, W/8)
        images = self.decode(clean, decoder)  # (B, 3, H, W) nominally [-1, 1]

        if output_type == "pt":
            return images
        pictures: list[Image.Image] = to_pictures(images)
        return pictures[0] if isinstance(prompt, str) else pictures

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> Tensor:
        """Prompts to embeddings (B, L, D): the text encoder's last state after its final norm."""
        ids = self._reader.ids(prompts).to(self.device)  # (B, L)
        return self._text_encoder(ids)[0]

    def noise(self, generators: Sequence[torch.Generator], size: tuple[int, int]) -> Tensor:
        """Unit noise (B, C, H/8, W/8), row i from generators[i]; drawn on the CPU in float32.

        The same on every device, and what diffusers draws with that generator. It is then rounded
        to the model's dtype, so that the U-Net and the step see the same numbers.
        """
        width, height = size
        shape = (self._channels, height // self._factor, width // self._factor)
        return self._rounded(draw_noise(generators, shape))

    @torch.no_grad()
    def denoise(
        self, noise: Tensor, words: Tensor, generators: Sequence[torch.Generator] | None = None
    ) -> Tensor:
        """Clean latents (B, C, h, w), float32, from unit noise and embeddings (B, L, D).

        One U-Net call; the scheduler's step runs in float32, because epsilon prediction magnifies
        errors 14.6 times. `generators` serve schedulers that add noise.
        """

        def predict(x: Tensor, t: Tensor) -> Tensor:
            x = x.to(self.dtype, memory_format=torch.channels_last)
            return self._unet(x, t, encoder_hidden_states=words, return_dict=False)[0].float()

        return self._one_step(noise, predict, generators)

    @torch.no_grad()
    def decode(self, latents: Tensor, decoder: str = "tiny") -> Tensor:
        """Images (B, 3, H, W), float32, nominally [-1, 1], from clean latents (B, C, h, w)."""
        chosen = self._decoders[decoder]
        x = (latents.float() / chosen.scale + chosen.shift).to(self.device, self.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        return chosen.network.decode(x, return_dict=False)[0].float().contiguous()

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt that does not fit into the text encoder's window; "" if all fits."""
        return self._reader.cut_off(prompt)

    def __repr__(self) -> str:
        width, height = self.size
        return f"SDXS({self.checkpoint!r}, {width}x{height}, {self.device}, {self.dtype})"

    def _rounded(self, noise: Tensor) -> Tensor:
        return noise.to(self.device, self.dtype).float()

    def _given(self, latents: Tensor | None, size: Any, batch: int) -> Tensor | None:
        """Latents that the caller brought, checked; None when there are none."""
        if latents is None:
            return None
        problem = f"latents must be a tensor ({batch}, {self._channels}, H/{self._factor}, W/…)"
        if not isinstance(latents, Tensor) or not latents.is_floating_point():
            raise InputError(f"{problem} of floating point numbers, not {type(latents).__name__}")
        shape = tuple(latents.shape)
        if len(shape) != 4 or shape[:2] != (batch, self._channels):
            raise InputError(f"{problem} for {batch} prompts, not {shape}")
        own = (shape[3] * self._factor, shape[2] * self._factor)
        for asked in (own, size):
            if request.size(asked, own, self._multiple) != own:
                raise InputError(
                    f"latents {shape} are for {own[0]} x {own[1]} pixels, size is {size}"
                )
        if not bool(latents.isfinite().all()):
            raise InputError("latents must be finite numbers of about unit variance")
        return self._rounded(latents.detach())

    def _check_decoder(self, decoder: str) -> None:
        request.choice("decoder", decoder, ("tiny", "large"))
        if decoder not in self.decoders:
            raise InputError(
                f"{self.checkpoint} has no {decoder} decoder (no folder vae_large): "
                f"leave decoder out, or use {self.decoders[0]!r}"
            )

    def _warn_cut_off(self, prompts: list[str]) -> None:
        for prompt in dict.fromkeys(prompts):
            if rest := self.cut_off(prompt):
                short = rest if len(rest) <= 80 else rest[:79] + "…"
                warnings.warn(
                    f"the prompt is longer than the {self._reader.length} tokens that the text "
                    f"encoder reads; not seen: {short!r}",
                    PromptCutWarning,
                    stacklevel=4,
                )


def _check_safety(safety: bool | str) -> None:
    if safety is True:
        raise InputError("safety=True cannot be had: this version has no safety checker yet")
    if safety is not False and safety != "auto":
        raise InputError(f'safety must be True, False or "auto", not {safety!r}')


def _say_safety(source: Source, safety: bool | str) -> None:
    if source.name == EMBEDDED and source.kind == "named":
        log.info("no safety checker: %s can only draw its own harmless world", source.name)
    elif safety is False:
        log.warning("the safety checker is off: pictures are shown as they come")
    else:
        log.warning("there is no safety checker yet: pictures are shown as they come")
