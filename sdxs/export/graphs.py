"""Which graphs a checkpoint is exported as, and each of them ready to be traced.

Knows nothing of files, nor of what runs them.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sdxs.checkpoint.open import Facts, Opened
from sdxs.errors import InputError, SDXSError, one_line
from sdxs.model.eager import EagerEngine
from sdxs.model.folding import fold
from sdxs.model.graph import Inputs, Spec, build_graph, example_inputs
from sdxs.model.schedule import LinearStep

CPU = torch.device("cpu")
SMALLEST = 2  # latents of the traced picture's side, in steps of the lowest stage


@dataclass(frozen=True)
class Graph:
    """A graph by its spec, of one style and one control at most. name: of its file, no ending."""

    spec: Spec
    name: str
    outputs: tuple[str, ...]

    @property
    def style(self) -> str:
        return "".join(self.spec.styles)

    @property
    def control(self) -> str:
        return "".join(self.spec.controls)


@dataclass(frozen=True)
class Written:
    """A graph in a folder: its file, what it takes by name, the files that its weights are in."""

    file: str
    inputs: list[str]
    weights: list[str]


@contextmanager
def naming(graph: Graph, problem: str) -> Iterator[None]:
    """Whatever libraries raise over a graph becomes an SDXSError that names it."""
    try:
        yield
    except SDXSError:
        raise
    except Exception as error:
        raise SDXSError(f"{graph.name}: {problem} ({one_line(error)})") from None


def graphs_of(facts: Facts) -> list[Graph]:
    """The text encoders, once more for each style that changes them; from noise to pixels by each
    decoder, with each style or none and each control or none."""
    offer = facts.offer
    said = ("states", "pooled") if len(facts.readers.readers) > 1 else ("states",)
    heard = [name for name in offer.styles if name in facts.text_styles]
    found = [Graph(Spec(styles=led), _name("text", led), said) for led in [(), *_each(heard)]]
    every = itertools.product(
        offer.decoders, [(), *_each(offer.controls)], [(), *_each(offer.styles)]
    )
    for decoder, controls, styles in every:
        first = "paint" if decoder == offer.decoders[0] else f"paint-{decoder}"
        name = _name(first, (*styles, *controls))
        found.append(Graph(Spec(decoder, styles, controls), name, ("pixels", "finite")))
    return found


def _each(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name,) for name in names]


def _name(first: str, led: tuple[str, ...]) -> str:
    return "+".join([first, *led])


class Networks:
    """A checkpoint's networks, what is the same for every picture folded, to be traced in a dtype.

    Raises InputError where its step is none of a graph's, CheckpointError.
    """

    def __init__(self, opened: Opened, dtype: torch.dtype) -> None:
        self._facts, self.dtype = opened.facts, dtype
        self._step = linear_step(opened)
        networks = opened.networks
        if dtype != torch.float32:
            networks = opened.places.read(dtype)[0]
            encoders: Any = networks.text_encoders.values()
            for encoder in encoders:  # torch's exporter leaves the usual one's mask in float32
                encoder.set_attn_implementation("eager")
        folded = fold(networks, opened.one_step.timestep, transposed=False)
        self._engine = EagerEngine(folded, opened.one_step, CPU, dtype)

    def ready(self, graph: Graph) -> tuple[nn.Module, Inputs]:
        """A graph and inputs of one row."""
        offer = self._facts.offer
        side = SMALLEST * offer.multiple // offer.factor
        length = self._facts.readers.length
        example = example_inputs(self._engine, graph.spec, length, (side, side))
        return build_graph(self._engine, self._step, graph.spec), example


def linear_step(opened: Opened) -> LinearStep:
    """Raises InputError where the scheduler's step is not linear."""
    if opened.facts.step is None:
        raise InputError(
            f"{opened.source.name}: its scheduler clips or adds noise in its step, which no graph "
            "holds: choose another one in scheduler/scheduler_config.json, such as DDIMScheduler "
            "with clip_sample false"
        )
    return opened.facts.step


def parameter_of(graph: Graph, name: str) -> tuple[str, str]:
    """Of a parameter of a graph: the network that it is of, and its name there."""
    _, number, inner = name.split(".", 2)  # networks.0.…
    return _networks(graph)[int(number)], inner


def constant_of(graph: Graph) -> str:
    """Whose the tensors are that no network has: the style's, or else the first network's."""
    return f"style-{graph.style}" if graph.style else _networks(graph)[0]


def _networks(graph: Graph) -> tuple[str, ...]:
    if not graph.spec.decoder:
        return "text_encoder", "text_encoder_2"
    return "unet", f"decoder-{graph.spec.decoder}", f"control-{graph.control}"
