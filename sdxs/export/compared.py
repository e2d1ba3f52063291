"""Whether what was exported paints what the eager engine paints in float32, picture by picture.

Knows nothing of files, nor of what runs a graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdxs.engines.calibration import outlines
from sdxs.engines.compare import decibels, outputs
from sdxs.engines.runtime import CompiledGraph
from sdxs.errors import SDXSError
from sdxs.export.graphs import Graph
from sdxs.model.controls import Control
from sdxs.model.eager import size_ids
from sdxs.model.graph import paint_inputs, text_inputs
from sdxs.model.schedule import seeded
from sdxs.model.text import Words
from sdxs.pipeline import SDXS
from sdxs.tokens import PromptReaders

LEAST = {torch.float32: 40.0, torch.float16: 30.0}  # dB of the farthest picture
SEED = 1000  # the first of them


@dataclass(frozen=True)
class Request:
    """Pictures that are asked for together. size: (width, height). style, control: scales."""

    prompts: list[str]
    size: tuple[int, int]
    style: list[float]
    control: list[float]

    @property
    def seeds(self) -> range:
        return range(SEED, SEED + len(self.prompts))


def farthest(ours: Tensor, theirs: Tensor) -> float:
    """The peak signal-to-noise ratio of the farthest of pictures (B, H, W, 3), 0 to 255, in dB."""
    return min(decibels(*pair) for pair in zip(ours, theirs, strict=True))


def noise_ratio(ours: Tensor, theirs: Tensor) -> float:
    """The signal-to-noise ratio of the farthest row (B, …), in dB."""
    error = (ours - theirs).square().flatten(1).mean(1)
    signal = theirs.square().flatten(1).mean(1)
    return float((10 * (signal / error.clamp_min(1e-30)).log10()).min())


class Reference:
    """A model that paints by the eager engine in float32, and what it is asked."""

    def __init__(self, model: SDXS, readers: PromptReaders, prompts: Sequence[str]) -> None:
        self._model, self._readers = model, readers
        first, *more = [prompts[i % len(prompts)] for i in range(4)]
        self._requests = (
            Request([first], model.size, [1.0], [1.0]),
            Request(more, self._smaller(), [0.0, 0.5, 2.0], [2.0, 0.0, 0.5]),
        )

    def _smaller(self) -> tuple[int, int]:
        """A size that the model can paint and is not its own, oblong."""
        least = self._model.offer.multiple
        width, height = (side // least for side in self._model.size)
        return max(1, width // 2) * least, max(2, height * 3 // 4) * least

    def distance(self, graph: Graph, run: CompiledGraph) -> float:
        """Of the farthest picture, in dB; of the farthest embeddings where they are farther. Raises
        SDXSError where numbers are not finite."""
        return min(self._distance(graph, run, request) for request in self._requests)

    def _distance(self, graph: Graph, run: CompiledGraph, request: Request) -> float:
        model, spec = self._model, graph.spec
        styles = {name: torch.tensor(request.style) for name in spec.styles}
        words = model.encode(request.prompts, styles)
        noise = model.noise(seeded(request.seeds), request.size)
        if not spec.decoder:
            ids = self._readers.ids(request.prompts)
            found = Words(*outputs(run, text_inputs(spec, ids, styles)))
            near = noise_ratio(found.states, words.states)
            if found.pooled is not None and words.pooled is not None:
                near = min(near, noise_ratio(found.pooled, words.pooled))
            return min(near, farthest(model.paint(noise, found), model.paint(noise, words)))
        controls = self._controls(graph, noise, words, request)
        wanted = model.paint(noise, words, None, styles, controls, spec.decoder)
        factor = model.offer.factor
        inputs = paint_inputs(spec, noise, words, size_ids(noise, factor), styles, controls, factor)
        pixels, finite = outputs(run, inputs)
        if not finite.isfinite().all():
            raise SDXSError(f"{graph.name}: numbers that are not finite")
        return farthest(pixels, wanted)

    def _controls(
        self, graph: Graph, noise: Tensor, words: Words, request: Request
    ) -> list[Control]:
        """Which follows what the model itself paints of the prompts."""
        if not graph.control:
            return []
        painted = self._model.paint(noise, words)
        images = torch.cat([outlines(row[None]) for row in painted])
        return [Control(graph.control, None, images, torch.tensor(request.control))]
