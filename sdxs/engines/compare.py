"""Whether a graph does what the eager engine does, before it takes its place.

All styles and controls of the graph are on, whatever the request has of them.
"""

import logging
import math

import torch
from torch import Tensor

from sdxs.engines.runtime import CompiledGraph, arrays
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine
from sdxs.model.graph import Inputs, Spec
from sdxs.model.text import Words

log = logging.getLogger(__name__)

WORDS_16, WORDS_32 = 0.05, 1e-3  # between embeddings, at most, of their own size


def outputs(graph: CompiledGraph, inputs: Inputs) -> list[Tensor]:
    """What a graph makes of tensors."""
    return [torch.from_numpy(array) for array in graph(arrays(inputs))]


def decibels(ours: Tensor, theirs: Tensor) -> float:
    """Peak signal-to-noise ratio of pixels of the same shape, 0 to 255; at most 138."""
    error = float((ours.float() - theirs.float()).square().mean())
    return 10 * math.log10(255**2 / max(error, 1e-9))


def same_pixels(
    engine: EagerEngine, graph: CompiledGraph, inputs: Inputs, spec: Spec, least: float
) -> None:
    """Of the first row. Raises ValueError where they are less than so many dB near."""
    inputs, one = dict(inputs), torch.ones(1)
    controls = []
    if "scales" in inputs:
        inputs["scales"] = torch.ones_like(inputs["scales"])
    if "images" in inputs:
        inputs["images"] = inputs["images"].amax(0, keepdim=True).expand_as(inputs["images"])
        pairs = zip(spec.controls, inputs["images"][:1].split(3, 1), strict=True)
        controls = [Control(name, None, image, one) for name, image in pairs]
    pooled = inputs.get("pooled")
    words = Words(inputs["states"][:1], None if pooled is None else pooled[:1])
    styles = dict.fromkeys(spec.styles, one)
    wanted = engine.paint(inputs["noise"][:1], words, styles, controls, spec.decoder)
    found = outputs(graph, inputs)[0][:1]
    near = decibels(found, wanted)
    log.info("%s: %.1f dB from the eager engine", spec, near)
    if near < least:
        raise ValueError(f"its pictures are {near:.1f} dB from the eager engine's")


def same_words(engine: EagerEngine, graph: CompiledGraph, inputs: Inputs, spec: Spec) -> None:
    """Of one prompt. Raises ValueError where they are too far apart."""
    inputs, styles = dict(inputs), dict.fromkeys(spec.styles, torch.ones(1))
    if "scales" in inputs:
        inputs["scales"] = torch.ones_like(inputs["scales"])
    ids = [inputs[name] for name in ("ids", "ids_2") if name in inputs]
    wanted = [each for each in engine.encode(ids, styles) if each is not None]
    most = WORDS_32 if engine.dtype == torch.float32 else WORDS_16
    for ours, theirs in zip(outputs(graph, inputs), wanted, strict=True):
        error = float((ours - theirs).abs().mean() / theirs.float().abs().mean())
        if not error < most:
            raise ValueError(f"its embeddings are {error:.1%} off")
