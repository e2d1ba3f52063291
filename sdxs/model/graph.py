"""A checkpoint's networks as functions of tensors alone, which can be traced, exported or captured.

`PaintGraph` goes from noise and embeddings to pixels, `TextGraph` from token ids to embeddings.
Everything a request may change is an input: styles by their LoRA scales, controls by image and
scale. Knows nothing of what runs them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine, size_ids
from sdxs.model.schedule import LinearStep
from sdxs.model.styles import StyleScales
from sdxs.model.text import Words
from sdxs.picture import to_pixels

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Spec:
    """What a graph is of: the text encoders, or all from noise to pixels through a decoder, with
    these styles and controls, by name, sorted. decoder: "" for the text encoders."""

    decoder: str = ""
    styles: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()


class PaintGraph(nn.Module):
    """Pixels (B, H, W, 3) and one number a picture, (B,), that is finite if all were.

    noise (B, C, h, w), states (B, L, D), for SDXL pooled (B, P) and time_ids (B, 6); scales (B, S):
    LoRA scales, then ControlNet scales, in the order of the spec; images (B, 3 K, H, W): the
    control images, in [0, 1]. Float32 all.
    """

    def __init__(self, engine: EagerEngine, step: LinearStep, spec: Spec) -> None:
        super().__init__()
        self._engine, self._step, self._spec = engine, step, spec
        networks = engine.networks
        controls = [networks.controls[name] for name in spec.controls]
        self.networks = nn.ModuleList(  # so that whoever traces this finds them
            [networks.unet, networks.decoders[spec.decoder].network, *controls]
        )

    def forward(
        self,
        noise: Tensor,
        states: Tensor,
        pooled: Tensor | None = None,
        time_ids: Tensor | None = None,
        scales: Tensor | None = None,
        images: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        clean, shown = self.shown(noise, states, pooled, time_ids, scales, images)
        return to_pixels(shown), clean.sum((1, 2, 3)) + shown.sum((1, 2, 3))

    def shown(
        self, noise: Tensor, states: Tensor, pooled: Any, time_ids: Any, scales: Any, images: Any
    ) -> tuple[Tensor, Tensor]:
        """The clean latents, and the images as the decoder gives them."""
        styles, controls = self._led(scales, images)
        x, t = self._step.input_scale * noise, self._engine.timestep
        prediction = self._engine.predict(x, t, Words(states, pooled), time_ids, styles, controls)
        clean = self._step.noise * noise + self._step.prediction * prediction
        return clean, self._engine.decode(clean, self._spec.decoder)

    def _led(self, scales: Any, images: Any) -> tuple[StyleScales, list[Control]]:
        names = self._spec.styles
        styles = {name: scales[:, i] for i, name in enumerate(names)}
        controls = [
            Control(name, None, images[:, 3 * i : 3 * i + 3], scales[:, len(names) + i])
            for i, name in enumerate(self._spec.controls)
        ]
        return styles, controls


class TextGraph(nn.Module):
    """Embeddings, (B, L, D) and for SDXL (B, P), from token ids: ids (B, L), and ids_2 for a second
    text encoder. scales (B, S): LoRA scales, in the order of the spec."""

    def __init__(self, engine: EagerEngine, spec: Spec) -> None:
        super().__init__()
        self._engine, self._spec = engine, spec
        self.networks = nn.ModuleList(engine.networks.text_encoders.values())

    def forward(
        self, ids: Tensor, ids_2: Tensor | None = None, scales: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        styles: Any = {}
        if scales is not None:
            styles = {name: scales[:, i] for i, name in enumerate(self._spec.styles)}
        states, pooled = self._engine.encode([ids] if ids_2 is None else [ids, ids_2], styles)
        return (states.float(),) if pooled is None else (states.float(), pooled.float())


def paint_inputs(
    spec: Spec,
    noise: Tensor,
    words: Words,
    time_ids: Tensor,
    styles: StyleScales,
    controls: Sequence[Control],
    factor: int,
) -> Inputs:
    """What a `PaintGraph` takes, of what an engine is asked, see `Engine.paint`; all of it where
    the noise is."""
    noise = noise.float()
    inputs = {"noise": noise, "states": words.states.to(noise)}
    if words.pooled is not None:
        inputs |= {"pooled": words.pooled.to(noise), "time_ids": time_ids.to(noise)}
    rows = len(noise)
    columns = [styles[name].to(noise).expand(rows) for name in spec.styles]
    by_name = {control.name: control for control in controls}
    images = noise.new_zeros(rows, 0, *(factor * side for side in noise.shape[2:]))
    for name in spec.controls:
        control = by_name[name]
        some = slice(None) if control.rows is None else control.rows.to(noise.device)
        image, scale = noise.new_zeros(rows, 3, *images.shape[2:]), noise.new_zeros(rows)
        image[some], scale[some] = control.images.to(noise), control.scales.to(noise)
        images = torch.cat([images, image], 1)
        columns.append(scale)
    if columns:
        inputs["scales"] = torch.stack(columns, 1)
    if spec.controls:
        inputs["images"] = images
    return inputs


def in_batches(inputs: Inputs, sizes: Sequence[int]) -> Iterator[tuple[Inputs, int]]:
    """The rows in parts of these sizes, which ascend: the last part is filled up with its last row.
    With each part, how many of its rows were asked for."""
    rows = len(inputs["noise"])
    for first in range(0, rows, sizes[-1]):
        count = min(rows - first, sizes[-1])
        part = {name: value[first : first + count] for name, value in inputs.items()}
        if missing := next(size for size in sizes if size >= count) - count:
            part = {
                name: torch.cat([value, value[-1:].expand(missing, *value.shape[1:])])
                for name, value in part.items()
            }
        yield part, count


def text_inputs(spec: Spec, ids: Sequence[Tensor], styles: StyleScales) -> Inputs:
    """What a `TextGraph` takes, of what an engine is asked, see `Engine.encode`."""
    inputs = dict(zip(("ids", "ids_2"), ids, strict=False))
    if spec.styles:
        inputs["scales"] = torch.stack([styles[name].float() for name in spec.styles], 1)
    return inputs


def build_graph(engine: EagerEngine, step: LinearStep, spec: Spec) -> PaintGraph | TextGraph:
    """The graph that a spec describes, of the networks of an engine."""
    graph = PaintGraph(engine, step, spec) if spec.decoder else TextGraph(engine, spec)
    graph.eval()
    return graph


def example_inputs(engine: EagerEngine, spec: Spec, window: int, sides: tuple[int, int]) -> Inputs:
    """Inputs for tracing a graph, of one row; window: tokens of a prompt, sides: latents (h, w)."""
    networks: Any = engine.networks
    ids = [torch.zeros(1, window, dtype=torch.int64) for _ in networks.text_encoders]
    ones = torch.ones(1)
    styles = dict.fromkeys(spec.styles, ones)
    if not spec.decoder:
        return text_inputs(spec, ids, styles)
    words = engine.encode(ids, {})
    channels = networks.unet.config.in_channels
    noise = torch.randn(1, channels, *sides, generator=torch.Generator().manual_seed(0))
    picture = noise.new_full((1, 3, *(networks.factor * side for side in sides)), 0.5)
    controls = [Control(name, None, picture, ones) for name in spec.controls]
    time_ids = size_ids(noise, networks.factor)
    return paint_inputs(spec, noise, words, time_ids, styles, controls, networks.factor)
