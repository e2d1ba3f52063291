"""The pipeline: `SDXS.load` puts a checkpoint on a device, calling it paints pictures in one step.

`__call__` is the hot path, a few named steps from prompts to pictures. Knows nothing of pages,
commands or training; files are the business of `checkpoint`, networks that of the engine.
"""

import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sdxs import arguments, conditions, walks
from sdxs.checkpoint.open import Opened, open_checkpoint, open_depth
from sdxs.engines import EAGER, ENGINES, choose_engine, recall_for
from sdxs.errors import SDXSError
from sdxs.model.controls import controls_of
from sdxs.model.ending import Home, at_work
from sdxs.model.hardware import limit_threads
from sdxs.model.isolation import isolated
from sdxs.model.remedies import CPU, F32, Setup, first_that_works, setups
from sdxs.model.safety import hide_flagged
from sdxs.model.schedule import seeded
from sdxs.model.styles import style_scales
from sdxs.model.trial import try_networks
from sdxs.picture import from_pixels, pictures_of, to_pixels
from sdxs.steps import Steps

if TYPE_CHECKING:
    from sdxs.model.depth import DepthEstimator

log = logging.getLogger(__name__)


class SDXS(Steps):
    """A one-step text-to-picture model, made by `SDXS.load`. Immutable: calls change nothing.

    Any number of threads may call it. `checkpoint`, `device`, `dtype`, `engine` ("auto" where the
    eager one answers until a faster one is ready) and `size` (width, height) say what was chosen,
    `source` why, `decoders` which of "tiny" and "large" there are,
    `styles` and `controls` what a call may name, `offer` all of that, `words` the phrases that it
    understands by heading, {} for any words, `dictionary` the words beside these. `safety` is "on",
    "off", "missing" where a checker could not be had, or "needless" for the embedded model.
    """

    def __init__(
        self, opened: Opened, engine: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__(ENGINES[engine](opened, device, dtype), opened.facts, device, dtype)
        self._checker = opened.checker
        self._home = Home(begun=engine == EAGER)
        self.engine = engine
        self.source = opened.source
        self.checkpoint = opened.source.name
        self.safety = opened.safety
        self.words = opened.words
        self.dictionary = opened.dictionary
        self.size = self.offer.size
        self.decoders = self.offer.decoders
        self.styles = self.offer.styles
        self.controls = self.offer.controls

    @classmethod
    @isolated()
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
        """Load a checkpoint: a name under `weights/`, a local folder or file, or a Hub id.

        "auto" is `SDXS_CHECKPOINT` if set, else the real model if it is already in the local Hub
        cache, else the embedded one. `device`: "auto" is CUDA, then MPS, then CPU. `dtype`: "auto"
        is float16 on CUDA and MPS, bfloat16 on a CPU with AMX or AVX512-BF16, else float32. Where
        these fail `sdxs.model.remedies` says what is tried, and a warning is logged.
        `styles` (LoRA) and `controls` (ControlNet): a name that ships or is published for this
        checkpoint, a file, a folder or a Hub id; or several; or {name: one of these}; or "all"
        that ship or are published for it. `safety`: "auto" checks pictures where a checker can be
        had (a folder's own, else the one that Stable Diffusion uses, fetched for Hub checkpoints),
        True refuses to load without one, False has none. The embedded model needs none: it can only
        draw its own harmless world. `engine`: what runs the networks: "eager" is PyTorch as it is,
        "openvino", "openvino-int8" and "onnxruntime" for CPUs, "cuda-graph" for CUDA, "compile" for
        both where there is a compiler; "auto" is `SDXS_ENGINE` if set, else the fastest that is
        there, and eager until that is ready.

        Raises InputError for an argument that makes no sense here, CheckpointError for a
        checkpoint that is missing, incomplete, damaged or of an unknown kind.
        """
        limit_threads()

        def made(setup: Setup) -> SDXS:
            place, kind, decoders = setup
            runs = choose_engine(engine, place, kind)
            opened = open_checkpoint(
                checkpoint, styles=styles, controls=controls, safety=safety, device=place,
                dtype=kind, decoders=decoders, recall=recall_for(runs, place),
            )  # fmt: skip
            model = cls(opened, runs, place, kind)
            if setup.doubtful:
                noise, ids = model.noise(seeded([0]), model.size), model._readers.ids(["a"])
                try_networks(model._engine, ids, noise, model.offer, kind, model._checker)
            return model

        model = first_that_works(setups(device, dtype), made)
        why = f": {model.source.reason}" if model.source.reason else ""
        log.info("%s on %s in %s%s", model.checkpoint, model.device, model.dtype, why)
        if model.source.hint:
            log.info("for the real model: %s", model.source.hint)
        return model

    @at_work
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
        to_prompt: str | Sequence[str | None] | None = None,
        to_seed: int | Sequence[int | None] | None = None,
        walk: float | Sequence[float | None] | None = None,
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
        `control_scale` 0 to 2. `walk`: how far between this picture and that of `to_prompt`,
        `to_seed` or both, 0 to 1, halfway if only these are given; see `sdxs.model.walk`.

        Raises InputError. Warns with PromptCutWarning when a prompt is longer than the window, and
        with SafetyWarning when the safety checker had pictures blurred.
        """
        asked = arguments.check(
            self.offer, prompt, seed=seed, size=size, decoder=decoder, style=style,
            style_scale=style_scale, control=control, control_image=control_image,
            control_scale=control_scale, to_prompt=to_prompt,
            to_seed=to_seed, walk=walk, latents=latents, output_type=output_type, **unknown,
        )  # fmt: skip
        prompts = [row.prompt for row in asked.rows]
        self._home.check(self.device)
        generators = seeded([row.seed for row in asked.rows])
        noise = self.noise(generators, asked.size, latents)  # (B, C, H/8, W/8)
        self._readers.warn_cut_off(prompts)
        styles, controls = style_scales(asked.rows), controls_of(asked.rows, asked.size)

        words = self.encode(prompts, styles)  # (B, L, D)
        if any(row.walk for row in asked.rows):
            self._readers.warn_cut_off([row.to_prompt or "" for row in asked.rows])
            underway = self.on_the_way(asked.rows, noise, words, generators, styles)
            noise, words, generators = underway
        if asked.output_type == "pt":
            clean = self.denoise(noise, words, generators, styles, controls)  # (B, C, h, w)
            images = self.decode(clean, asked.decoder)  # (B, 3, H, W) nominally [-1, 1]
            return hide_flagged(self._checker, images)
        pixels = self.paint(noise, words, generators, styles, controls, asked.decoder)
        if self._checker:  # pixels: (B, H, W, 3)
            pixels = to_pixels(hide_flagged(self._checker, from_pixels(pixels)))
        pictures = pictures_of(pixels)
        return pictures[0] if asked.single else pictures

    def walk(
        self,
        prompts: str | Sequence[str],
        *,
        seeds: int | Sequence[int] = 0,
        frames: int = walks.FRAMES,
        loop: bool = False,
        together: int = 8,
        **asked: Any,
    ) -> Iterator[Image.Image]:
        """The pictures along a way of two or more waypoints, one after the other.

        A waypoint is a prompt with its seed: `prompts` and `seeds` are lists of one length, or one
        of them is the same all the way. `frames`, 2 or more, lie evenly on it, from the first
        waypoint to the last one, or with `loop` on and on to the first one, which is not repeated.
        They are painted when they are asked for, `together` by one call. `asked`: what `__call__`
        takes beside these. Noise goes along a great circle (Shoemake 1985), embeddings in a
        straight line. `sdxs.film.write` makes a file of them. Raises InputError.
        """
        return walks.pictures(
            self, self.offer, prompts, seeds=seeds, frames=frames, loop=loop, together=together,
            asked=asked,
        )  # fmt: skip

    @at_work
    def condition(
        self,
        name: str,
        picture: Image.Image,
        *,
        size: int | tuple[int, int] | None = None,
        **options: Any,
    ) -> Image.Image:
        """The control image that a row of `conditions.CONDITIONS` makes of a drawing or a photo.

        RGB, of this model's size unless another is given. `options` are the row's: `polarity` of
        "sketch", `low` and `high` of "canny". Raises InputError, also for a picture with nothing
        in it to follow, and CheckpointError where "depth" has no network to see it: that is found
        and loaded when it is first asked for.
        """
        sides = self.offer.sides(size)
        return conditions.condition(name, picture, sides, network=self._depth, **options)

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt that does not fit into the text encoder's window; "" if all fits."""
        return self._readers.cut_off(prompt)

    def _depth(self, picture: Image.Image) -> NDArray[Any]:
        near: NDArray[Any] = self._depth_estimator(picture)  # (H, W)
        return near

    @functools.cached_property
    def _depth_estimator(self) -> "DepthEstimator":
        def made(setup: Setup) -> "DepthEstimator":
            estimator = open_depth(self.checkpoint, setup.device)
            if setup.doubtful:
                estimator(Image.new("RGB", self.size))
            return estimator

        places = dict.fromkeys((self.device, CPU))
        return first_that_works([Setup(place, F32, F32) for place in places], made)

    def __deepcopy__(self, memo: Any) -> "SDXS":
        return self  # nothing changes it

    def __reduce__(self) -> Any:
        raise SDXSError(
            "a loaded model cannot be pickled: send what SDXS.load was given, and load it there"
        )

    def __repr__(self) -> str:
        width, height = self.size
        return f"SDXS({self.checkpoint!r}, {width}x{height}, {self.device}, {self.dtype})"
