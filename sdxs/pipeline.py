"""The pipeline: `SDXS.load` puts a checkpoint on a device, calling it paints pictures in one step.

`__call__` is the hot path, a few named steps from prompts to pictures. Knows nothing of pages,
commands or training; files are `loading`'s business and names are `weights`'.
"""

import functools
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from sdxs import arguments
from sdxs.arguments import Offer, Row
from sdxs.checkpoint.checker import load_safety_checker
from sdxs.checkpoint.depth import load_depth
from sdxs.checkpoint.find import Source, all_of, find, find_depth, find_safety_checker, resolve
from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.open import read_words
from sdxs.checkpoint.parts import Parts, load_control, load_parts
from sdxs.conditions import CONDITIONS
from sdxs.config import EMBEDDED
from sdxs.errors import CheckpointError, InputError, PromptCutWarning, SafetyWarning, one_line
from sdxs.model.controls import Steering, residuals, to_control
from sdxs.model.depth import DepthSight
from sdxs.model.hardware import choose_device, choose_dtype
from sdxs.model.safety import SafetyChecker, hide
from sdxs.model.schedule import draw_noise, seeded
from sdxs.model.styles import Style, attach, wearing
from sdxs.model.text import Words
from sdxs.picture import to_pictures

ALL = "all"  # styles or controls that there are

log = logging.getLogger(__name__)


class SDXS:
    """A one-step text-to-picture model, made by `SDXS.load`. Immutable: calls change nothing.

    Any number of threads may call it. `checkpoint`, `device`, `dtype` and `size` (width, height)
    say what was chosen, `source` why, `decoders` which of "tiny" and "large" there are, `styles`
    and `controls` what a call may name, `offer` all of that, `words` the phrases that it
    understands by heading, {} for any words. `safety` is "on", "off", "missing" where a checker
    could not be had, or "needless" for the embedded model.
    """

    def __init__(
        self,
        parts: Parts,
        source: Source,
        device: torch.device,
        dtype: torch.dtype,
        styles: Mapping[str, Style] | None = None,
        controls: Mapping[str, Any] | None = None,
        checker: SafetyChecker | None = None,
        safety: str = "off",
    ) -> None:
        layout = torch.channels_last
        self._unet: Any = parts.unet.to(device, memory_format=layout)
        self._text = parts.text
        for network in parts.text.networks.values():
            network.to(device)
        for decoder in parts.decoders.values():
            decoder.network.to(device, memory_format=layout)
        self._decoders = parts.decoders
        self._one_step = parts.one_step
        self._controls = {
            name: network.to(device, memory_format=layout)
            for name, network in (controls or {}).items()
        }
        self._checker = checker

        facts = self._unet.config
        side = facts.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        factor = parts.decoders["tiny"].factor
        self.offer = Offer(
            checkpoint=source.name,
            size=(width * factor, height * factor),
            multiple=factor * 2 ** (len(facts.down_block_types) - 1),
            decoders=tuple(parts.decoders),
            styles=tuple(styles or ()),
            controls=tuple(self._controls),
            channels=facts.in_channels,
            factor=factor,
        )

        self.source = source
        self.checkpoint = source.name
        self.device = device
        self.dtype = dtype
        self.size = self.offer.size
        self.decoders = self.offer.decoders
        self.styles = self.offer.styles
        self.controls = self.offer.controls
        self.safety = safety
        self.words = read_words(source.folder)
        self._wear(styles or {})

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
        `styles` (LoRA) and `controls` (ControlNet): a name that ships or is published for this
        checkpoint, a file, a folder or a Hub id; or several; or {name: one of these}; or "all"
        that ship or are published for it. `safety`: "auto" checks pictures where a checker can be
        had (a folder's own, else the one that Stable Diffusion uses, fetched for Hub checkpoints),
        True refuses to load without one, False has none. The embedded model needs none: it can only
        draw its own harmless world.

        Raises InputError for an argument that makes no sense here, CheckpointError for a
        checkpoint that is missing, incomplete, damaged or of an unknown kind.
        """
        if safety is not True and safety is not False and safety != "auto":
            raise InputError(f'safety must be True, False or "auto", not {safety!r}')
        arguments.choice("engine", engine, ("auto", "eager"), " (faster engines are yet to come)")
        place = choose_device(device)
        kind = choose_dtype(dtype, place)
        wanted_styles = arguments.named("styles", styles)
        wanted_controls = arguments.named("controls", controls)
        source = resolve(checkpoint)
        if wanted_styles == {ALL: ALL}:
            wanted_styles = arguments.named("styles", all_of("styles", source))
        if wanted_controls == {ALL: ALL}:
            wanted_controls = arguments.named("controls", all_of("controls", source))
        log.info("loading %s", source.name)
        parts = load_parts(source.folder, kind)
        networks = {"unet": parts.unet, **parts.text.networks}
        found_styles = {
            name: read_style(find("styles", wanted, source.name), networks)
            for name, wanted in wanted_styles.items()
        }
        found_controls = {
            name: load_control(find("controls", wanted, source.name), kind, parts)
            for name, wanted in wanted_controls.items()
        }
        checker, state = _safety_checker(source, safety, place, kind)
        model = cls(parts, source, place, kind, found_styles, found_controls, checker, state)
        log.info("%s on %s in %s: %s", model.checkpoint, place, kind, source.reason)
        if source.hint:
            log.info("for the real model: %s", source.hint)
        return model

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        *,
        seed: int | Sequence[int] = 0,
        size: int | tuple[int, int] | None = None,
        decoder: str = "tiny",
        style: str | Sequence[str | None] | None = None,
        style_scale: float | Sequence[float] = 1.0,
        control: str | Sequence[str | None] | None = None,
        control_image: Image.Image | Sequence[Image.Image | None] | None = None,
        control_scale: float | Sequence[float] = 1.0,
        latents: Tensor | None = None,
        output_type: str = "pil",
        **unknown: Any,
    ) -> Any:
        """Paint a prompt: one picture for a string, a list for a list, in one batched U-Net call.

        `seed`: 0 to 2**63 - 1, or one for each prompt. `size`: a side or (width, height) in
        pixels. `latents` (B, C, H/8, W/8), unit variance, replaces the seed's noise. `output_type`
        "pil" gives PIL.Image.Image, "pt" the decoder's output (B, 3, H, W), float32, nominally
        [-1, 1], not clamped. `style`: a name of `styles` or None for the plain picture; its
        `style_scale` 0 to 2. `control`: a name of `controls`, with the `control_image` (what
        `condition` makes, or any Pillow picture, stretched to the size) that it follows and the
        `control_scale` 0 to 2.

        Raises InputError. Warns with PromptCutWarning when a prompt is longer than the window, and
        with SafetyWarning when the safety checker had pictures blurred.
        """
        asked = arguments.check(
            self.offer, prompt, seed=seed, size=size, decoder=decoder, style=style,
            style_scale=style_scale, control=control, control_image=control_image,
            control_scale=control_scale, latents=latents, output_type=output_type, **unknown,
        )  # fmt: skip
        prompts = [row.prompt for row in asked.rows]
        strengths = self._strengths(asked.rows)
        generators = seeded([row.seed for row in asked.rows])
        if asked.latents is None:
            noise = self.noise(generators, asked.size)
        else:
            noise = self._rounded(asked.latents.detach())
        self._warn_cut_off(prompts)
        steerings = self._steerings(asked.rows, asked.size)

        with wearing(strengths):
            words = self.encode(prompts)  # (B, L, D)
            clean = self.denoise(noise, words, generators, steerings)  # (B, C, H/8, W/8)
        images = self._checked(self.decode(clean, asked.decoder))  # (B, 3, H, W) in [-1, 1]

        if asked.output_type == "pt":
            return images
        pictures: list[Image.Image] = to_pictures(images)
        return pictures[0] if asked.single else pictures

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> Words:
        """Prompts to embeddings: states (B, L, D) and, for the SDXL kind, pooled (B, P)."""
        return self._text(prompts, self.device)

    def noise(self, generators: Sequence[torch.Generator], size: tuple[int, int]) -> Tensor:
        """Unit noise (B, C, H/8, W/8), row i from generators[i]; drawn on the CPU in float32.

        The same on every device, and what diffusers draws with that generator. It is then rounded
        to the model's dtype, so that the U-Net and the step see the same numbers.
        """
        width, height = size
        factor = self.offer.factor
        shape = (self.offer.channels, height // factor, width // factor)
        return self._rounded(draw_noise(generators, shape))

    @torch.no_grad()
    def denoise(
        self,
        noise: Tensor,
        words: Words,
        generators: Sequence[torch.Generator] | None = None,
        steerings: Sequence[Steering] = (),
    ) -> Tensor:
        """Clean latents (B, C, h, w), float32, from unit noise and embeddings.

        One U-Net call; the scheduler's step runs in float32, because epsilon prediction magnifies
        errors 14.6 times. `generators` serve schedulers that add noise.
        """
        added = self._added(noise, words)

        def predict(x: Tensor, t: Tensor) -> Tensor:
            x = x.to(self.dtype, memory_format=torch.channels_last)
            return self._unet(
                x,
                t,
                encoder_hidden_states=words.states,
                added_cond_kwargs=added,
                return_dict=False,
                **residuals(steerings, x, t, words.states, added),
            )[0].float()

        return self._one_step(noise, predict, generators)

    @torch.no_grad()
    def decode(self, latents: Tensor, decoder: str = "tiny") -> Tensor:
        """Images (B, 3, H, W), float32, nominally [-1, 1], from clean latents (B, C, h, w)."""
        chosen = self._decoders[decoder]
        latents = latents.to(self.device, torch.float32)
        scale, shift = (
            torch.as_tensor(v, device=self.device) for v in (chosen.scale, chosen.shift)
        )
        x = (latents / scale + shift).to(chosen.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        return chosen.network.decode(x, return_dict=False)[0].float().contiguous()

    def condition(
        self,
        name: str,
        picture: Image.Image,
        *,
        size: int | tuple[int, int] | None = None,
        **options: Any,
    ) -> Image.Image:
        """The control picture that a row of `conditions.CONDITIONS` makes of a drawing or a photo.

        RGB, of this model's size unless another is given. `options` are the row's: `polarity` of
        "sketch", `low` and `high` of "canny". Raises InputError, also for a picture with nothing
        in it to follow, and CheckpointError where "depth" has no network to see it: that is found
        and loaded when it is first asked for.
        """
        chosen = CONDITIONS[arguments.choice("condition", name, tuple(CONDITIONS))]
        known = [option.name for option in chosen.options]
        for option in options:
            if option not in known:
                listed = ", ".join(known) or "none"
                raise InputError(f"{name} has no option {option!r}, it knows {listed}")
        if chosen.sees_depth:  # it is not looked for before the picture is known to be one
            options["network"] = lambda seen: self._sees_depth(seen)
        return chosen.make(picture, self.offer.sides(size), **options)

    @functools.cached_property
    def _sees_depth(self) -> DepthSight:
        return load_depth(find_depth(self.checkpoint), self.device)

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt that does not fit into the text encoder's window; "" if all fits."""
        return self._text.cut_off(prompt)

    def __repr__(self) -> str:
        width, height = self.size
        return f"SDXS({self.checkpoint!r}, {width}x{height}, {self.device}, {self.dtype})"

    def _added(self, noise: Tensor, words: Words) -> dict[str, Tensor] | None:
        """What SDXL's U-Net is told beside the prompt: its pooled embedding and the size.

        The picture is whole and not upscaled: (height, width, 0, 0, height, width) (SDXL, arXiv
        2307.01952, section 2.2).
        """
        if words.pooled is None:
            return None
        height, width = (side * self.offer.factor for side in noise.shape[-2:])
        times = torch.tensor([height, width, 0, 0, height, width], device=self.device)
        times = times.to(self.dtype).expand(len(noise), -1)
        return {"text_embeds": words.pooled, "time_ids": times}

    def _wear(self, styles: Mapping[str, Style]) -> None:
        for folder, network in {"unet": self._unet, **self._text.networks}.items():
            fitting = {
                name: {
                    layer: addition.to(self.device, self.dtype)
                    for layer, addition in style.get(folder, {}).items()
                }
                for name, style in styles.items()
            }
            attach(network, fitting)

    def _strengths(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """How much of each style every row wears, (B,) by name; without those nobody wears."""
        place: Any = {"device": self.device, "dtype": self.dtype}  # once, not in every layer
        return {
            style: torch.tensor([row.style_scale * (row.style == style) for row in rows], **place)
            for style in dict.fromkeys(row.style for row in rows if row.style and row.style_scale)
        }

    def _steerings(self, rows: Sequence[Row], size: tuple[int, int]) -> list[Steering]:
        """One for each control in use; a row of strength 0 is as if it had none."""
        out = []
        wanted = [row.control for row in rows if row.control and row.control_scale]
        for control in dict.fromkeys(wanted):
            where = [
                i for i, row in enumerate(rows) if row.control == control and row.control_scale
            ]
            pictures = torch.stack([to_control(rows[i].control_image, size) for i in where])
            pictures = pictures.to(self.device, self.dtype, memory_format=torch.channels_last)
            strengths = torch.tensor([rows[i].control_scale for i in where], device=self.device)
            index = torch.tensor(where, device=self.device)
            out.append(Steering(self._controls[control], index, pictures, strengths))
        return out

    def _rounded(self, noise: Tensor) -> Tensor:
        return noise.to(self.device, self.dtype).float()

    def _checked(self, images: Tensor) -> Tensor:
        """The images (B, 3, H, W), those that the safety checker flags blurred."""
        if self._checker is None:
            return images
        flags = self._checker.flags(images)
        if any(flags):
            what = "the picture was" if len(flags) == 1 else f"{sum(flags)} of {len(flags)} were"
            warnings.warn(
                f"{what} blurred: the safety checker takes it for unsafe, rightly or not; try "
                "another seed or other words",
                SafetyWarning,
                stacklevel=4,
            )
        return hide(images, flags)

    def _warn_cut_off(self, prompts: list[str]) -> None:
        for prompt in dict.fromkeys(prompts):
            if rest := self.cut_off(prompt):
                warnings.warn(
                    f"the prompt is longer than the {self._text.length} tokens that the text "
                    f"encoder reads; not seen: {one_line(rest, 80)!r}",
                    PromptCutWarning,
                    stacklevel=4,
                )


def _safety_checker(
    source: Source, safety: bool | str, device: torch.device, dtype: torch.dtype
) -> tuple[SafetyChecker | None, str]:
    """The checker, or None; and what `SDXS.safety` says of it."""
    if source.name == EMBEDDED and source.kind == "named":
        log.info("no safety checker: %s can only draw its own harmless world", source.name)
        return None, "needless"
    if safety is False:
        log.warning("the safety checker is off: pictures are shown as they come")
        return None, "off"
    try:
        fetch = safety is True or source.kind == "hub"
        return load_safety_checker(*find_safety_checker(source, fetch=fetch), device, dtype), "on"
    except CheckpointError as error:
        if safety is True:
            raise CheckpointError(
                f"no safety checker for {source.name}, and it was asked for: {error}"
            ) from None
        log.warning("no safety checker, pictures are shown as they come: %s", error)
        return None, "missing"
