"""Whether a graph does what the eager engine does, before it takes its place.

All styles and controls of the graph are on, whatever the request has of them.
"""

import logging
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sdxs.engines.runtime import CompiledGraph, arrays
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine
from sdxs.model.graph import Inputs, Spec
from sdxs.model.text import Words

log = logging.getLogger(__name__)

PIXELS_8, PIXELS_16, PIXELS_32 = 20.0, 30.0, 60.0  # dB between pictures, at least, by their bits
WORDS_16, WORDS_32 = 0.05, 1e-3  # between embeddings, at most, of their own size

Run = Callable[[Inputs], Sequence[Tensor]]  # a graph, ready to run


def outputs(graph: CompiledGraph, inputs: Inputs) -> list[Tensor]:
    """What a graph makes of tensors."""
    return [torch.from_numpy(array) for array in graph(arrays(inputs))]


def decibels(ours: Tensor, theirs: Tensor) -> float:
    """Peak signal-to-noise ratio of pixels of the same shape, 0 to 255; at most 138."""
    error = float((ours.float() - theirs.float()).square().mean())
    return 10 * math.log10(255**2 / max(error, 1e-9))


def same_pixels(
    engine: EagerEngine, run: Run, inputs: Inputs, spec: Spec, *, quantized: bool = False
) -> None:
    """Of the first row. Raises ValueError where they are too far apart. quantized: the graph is in
    8-bit integers; how near they are over many pictures is measured when they are calibrated."""
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
    near = decibels(run(inputs)[0][:1], wanted)
    log.info("%s: %.1f dB from the eager engine", spec, near)
    least = PIXELS_32 if _is_exact(engine) else PIXELS_16
    if near < (PIXELS_8 if quantized else least):
        raise ValueError(f"its pictures are {near:.1f} dB from the eager engine's")


def same_words(engine: EagerEngine, run: Run, inputs: Inputs, spec: Spec) -> None:
    """Of one prompt. Raises ValueError where they are too far apart."""
    inputs, styles = dict(inputs), dict.fromkeys(spec.styles, torch.ones(1))
    if "scales" in inputs:
        inputs["scales"] = torch.ones_like(inputs["scales"])
    ids = [inputs[name] for name in ("ids", "ids_2") if name in inputs]
    wanted = [each for each in engine.encode(ids, styles) if each is not None]
    most = WORDS_32 if _is_exact(engine) else WORDS_16
    for ours, theirs in zip(run(inputs), wanted, strict=True):
        error = float((ours - theirs).abs().mean() / theirs.float().abs().mean())
        if not error < most:
            raise ValueError(f"its embeddings are {error:.1%} off")


def _is_exact(engine: EagerEngine) -> bool:
    """Whether its numbers are float32 throughout: CUDA multiplies them in TF32, of ten bits."""
    return bool(engine.dtype == torch.float32 and engine.device.type == "cpu")
