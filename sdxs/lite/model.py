"""`SDXS` without torch: the same calls, on an exported folder, picture by picture.

Knows nothing of what is in a graph, nor of pages and commands.
"""

import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdxs import arguments, conditions, walks
from sdxs.arguments import Row
from sdxs.ending import Process, under_way
from sdxs.errors import TORCH, CheckpointError, InputError, NotFiniteError, SDXSError
from sdxs.granted import threads
from sdxs.lite.asked import ENGINE, check_machine, safety_of, wanted
from sdxs.lite.find import find
from sdxs.lite.folder import Exported, Kind, read
from sdxs.lite.graphs import Graphs, library
from sdxs.lite.noise import noise
from sdxs.lite.remedies import EXPORT
from sdxs.lite.walk import blend, slerp
from sdxs.picture import control_pixels
from sdxs.sources import Source, Wanted

log = logging.getLogger(__name__)

REMEMBERED = 64  # prompts
Words = Mapping[str, NDArray[np.float32]]  # states (1, L, D); for the SDXL kind pooled (1, P)


class SDXS:
    """A one-step text-to-picture model on a CPU, made by `SDXS.load`. Immutable; any number of
    threads may call it.

    What `sdxs.pipeline.SDXS` is, where arguments and attributes are described, but for what needs
    torch: other checkpoints than exported ones, latents, tensors, depth, a safety checker.
    """

    def __init__(
        self,
        exported: Exported,
        graphs: Graphs,
        source: Source,
        styles: Mapping[str, str],
        controls: Mapping[str, str],
        safety: str,
    ) -> None:
        """styles, controls: {what a call names: what the folder calls it}."""
        self._readers, self._text_styles = exported.readers, exported.text_styles
        self._graphs, self._styles, self._controls = graphs, styles, controls
        self._words = functools.lru_cache(REMEMBERED)(self._encoded)
        self._process = Process(begun=True)
        name = source.name if source.kind == "named" else exported.offer.checkpoint
        self.offer = replace(
            exported.offer, checkpoint=name, styles=tuple(styles), controls=tuple(controls)
        )
        self.source, self.safety = source, safety
        self.device, self.dtype, self.engine = "cpu", exported.dtype, ENGINE
        self.words, self.dictionary = exported.words, exported.dictionary
        self.checkpoint, self.size = self.offer.checkpoint, self.offer.size
        self.decoders, self.styles = self.offer.decoders, self.offer.styles
        self.controls = self.offer.controls

    @classmethod
    def load(
        cls,
        checkpoint: str | os.PathLike[str] = "auto",
        *,
        styles: Wanted = None,
        controls: Wanted = None,
        safety: bool | str = "auto",
        device: str = "auto",
        dtype: str = "auto",
        engine: str = "auto",
    ) -> "SDXS":
        """Load an exported checkpoint: "storybook", the embedded one, or a folder. "auto" is
        `SDXS_CHECKPOINT` if set, else the embedded one. `styles`, `controls`: of the folder's,
        names, {name: one of them}, or "all". `device`, `dtype` and `engine` are what they are: the
        CPU, the folder's own, "lite".

        Raises InputError for what needs torch, CheckpointError for a checkpoint that is missing,
        incomplete or damaged, SDXSError where ONNX Runtime is not installed.
        """
        runtime, source = library(), find(checkpoint)
        exported = read(source.folder)
        check_machine(device, dtype, engine, exported)
        model = cls(
            exported,
            Graphs(runtime, exported),
            source,
            wanted("styles", styles, exported.offer.styles),
            wanted("controls", controls, exported.offer.controls),
            safety_of(source, safety),
        )
        if model.safety in ("off", "missing"):
            log.warning("there is no safety checker: pictures are shown as they come")
        log.info("%s on cpu in %s by ONNX Runtime alone", model.checkpoint, model.dtype)
        return model

    @under_way()
    def __call__(self, prompt: str | list[str], **asked: Any) -> Any:
        """Paint a prompt: one picture for a string, a list for a list, as `sdxs.pipeline.SDXS` does
        and with its arguments, but for tensors. Raises InputError; warns with PromptCutWarning when
        a prompt is longer than the window."""
        if asked.get("latents") is not None or asked.get("output_type") == "pt":
            raise InputError(f"latents and output_type 'pt' are tensors of PyTorch: {TORCH}")
        checked = arguments.check(self.offer, prompt, **asked)
        self._process.check(forks=threads() == 1)
        self._readers.warn_cut_off([row.prompt for row in checked.rows])
        if any(row.walk for row in checked.rows):
            self._readers.warn_cut_off([row.to_prompt or "" for row in checked.rows])
        pictures = [self._picture(row, checked.size, checked.decoder) for row in checked.rows]
        return pictures[0] if checked.single else pictures

    def _picture(self, row: Row, size: tuple[int, int], decoder: str) -> Image.Image:
        """One row's, of (width, height) in pixels. Raises InputError for its control image,
        NotFiniteError for numbers that are not finite."""
        style = self._styles[row.style] if row.style and row.style_scale else ""
        control = self._controls[row.control] if row.control and row.control_scale else ""
        heard = (style, row.style_scale) if style in self._text_styles else ("", 0.0)
        start, words = self._noise(row.seed, size), self._words(row.prompt, *heard)
        if row.walk:
            if row.to_seed is not None:
                start = slerp(start, self._noise(row.to_seed, size), row.walk)
            if row.to_prompt is not None:
                there = self._words(row.to_prompt, *heard)
                words = {name: blend(words[name], there[name], row.walk) for name in words}
        inputs: dict[str, Any] = {"noise": start, **words}  # (1, C, h, w), (1, L, D)
        if "pooled" in words:  # of the SDXL kind: sdxs.model.eager.size_ids
            inputs["time_ids"] = np.array([[*size[::-1], 0, 0, *size[::-1]]], np.float32)
        scales = [row.style_scale] * bool(style) + [row.control_scale] * bool(control)
        if scales:
            inputs["scales"] = np.array([scales], np.float32)
        if control:
            image = control_pixels(row.control_image, size)  # (H, W, 3) in [0, 1]
            inputs["images"] = image.transpose(2, 0, 1)[None]
        pixels, finite = self._graphs(Kind(decoder, style, control), inputs)
        if not np.isfinite(finite).all():
            raise NotFiniteError(
                f"the model gives numbers that are not finite in {self.dtype}: "
                f"{EXPORT} {self.checkpoint} --to onnx --dtype float32"
            )
        return Image.fromarray(pixels[0])  # (H, W, 3) uint8

    def _noise(self, seed: int, size: tuple[int, int]) -> NDArray[np.float32]:
        """Unit noise (1, C, h, w) for (width, height) in pixels."""
        width, height = (side // self.offer.factor for side in size)
        return noise(seed, (1, self.offer.channels, height, width))

    def _encoded(self, prompt: str, style: str, scale: float) -> Words:
        """A prompt as the U-Net reads it, in a style that changes that, too, if any."""
        inputs: dict[str, Any] = {
            name: np.array(ids, np.int64)
            for name, ids in zip(("ids", "ids_2"), self._readers.rows([prompt]), strict=False)
        }  # (1, L)
        if style:
            inputs["scales"] = np.array([[scale]], np.float32)
        outputs = self._graphs(Kind(style=style), inputs)
        return dict(zip(("states", "pooled"), outputs, strict=False))

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
        """The pictures along a way of two or more waypoints, see `sdxs.pipeline.SDXS.walk`."""
        return walks.pictures(
            self, self.offer, prompts, seeds=seeds, frames=frames, loop=loop, together=together,
            asked=asked,
        )  # fmt: skip

    def condition(
        self,
        name: str,
        picture: Image.Image,
        *,
        size: int | tuple[int, int] | None = None,
        **options: Any,
    ) -> Image.Image:
        """The control image that a row of `conditions.CONDITIONS` makes, see
        `sdxs.pipeline.SDXS.condition`. Raises CheckpointError for "depth"."""
        sides = self.offer.sides(size)
        return conditions.condition(name, picture, sides, network=_no_depth, **options)

    def cut_off(self, prompt: str) -> str:
        """The end of a prompt that does not fit into the text encoder's window; "" if all fits."""
        return self._readers.cut_off(prompt)

    def __deepcopy__(self, memo: Any) -> "SDXS":
        return self  # nothing changes it

    def __reduce__(self) -> Any:
        raise SDXSError(
            "a loaded model cannot be pickled: send what SDXS.load was given, and load it there"
        )

    def __repr__(self) -> str:
        width, height = self.size
        return f"SDXS({self.checkpoint!r}, {width}x{height}, {self.device}, {self.dtype}, {ENGINE})"


def _no_depth(picture: Image.Image) -> NDArray[Any]:
    raise CheckpointError(f"what sees depth in a photo needs PyTorch: {TORCH}")
