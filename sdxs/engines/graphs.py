"""The engine of graphs: each is built when it is first needed, while the eager engine answers.

One thread builds: it finds the graph on disk or has it stored by a process of its own, compiles it,
compares it with the eager engine once, and puts it in its place.
"""

import logging
import math
import os
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdxs.checkpoint.open import Opened
from sdxs.engines import cache
from sdxs.engines.builder import Builder, Stopped
from sdxs.engines.convert import asked, facts_of
from sdxs.engines.runtime import Runner, Runtime
from sdxs.errors import SDXSError, one_line
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine
from sdxs.model.graph import Inputs, Spec, paint_inputs, text_inputs
from sdxs.model.styles import StyleScales
from sdxs.model.text import Words
from sdxs.picture import check_finite

log = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8)
WORTH_IT = 2  # requests of a kind, from which on a graph is built in the background
KEPT = 12  # compiled graphs
NEAR_16, NEAR_32 = 30.0, 60.0  # dB between a graph's pixels and the eager engine's
NEAR_WORDS = 0.05  # of the embeddings' own size


class Key(NamedTuple):
    """A compiled graph: what it is of, rows, and latents (h, w)."""

    spec: Spec
    rows: int
    sides: tuple[int, int]


class GraphEngine:
    """See `sdxs.model.engine.Engine`. waits: a request waits for its graph, and fails without it;
    else the eager engine answers until it is there, or where it cannot be built."""

    def __init__(
        self,
        runtime: type[Runtime],
        opened: Opened,
        device: torch.device,
        dtype: torch.dtype,
        *,
        waits: bool,
    ) -> None:
        self._eager = EagerEngine(opened.networks, opened.one_step, device, dtype)
        self._places, self._dtype, self._factor = opened.places, dtype, opened.networks.factor
        self._linear = opened.one_step.line() is not None
        self._waits = waits
        self._runtime = runtime(device, dtype)
        self._builder = Builder()
        self._graphs: OrderedDict[Key, Runner] = OrderedDict()
        self._stored: dict[Spec, Path] = {}
        self._failed: dict[Key, str] = {}
        self._said: set[str] = set()
        self._asked: Counter[Key] = Counter()
        self._lock = threading.Lock()
        if not self._linear:
            self._refuse("its scheduler's step is not linear")
        weakref.finalize(self, _end, self._builder, self._graphs)  # also before the program ends

    @property
    def networks(self) -> Any:
        return self._eager.networks

    def encode(self, ids: Sequence[Tensor], styles: StyleScales) -> Words:
        spec = Spec(styles=tuple(sorted(styles)))
        rows = len(ids[0])

        def run(graph: Runner, first: int, last: int) -> list[Tensor]:
            scales = {name: of_rows[first:last] for name, of_rows in styles.items()}
            inputs = text_inputs(spec, [row[first:last] for row in ids], scales)
            return _run(graph, inputs)

        def check(graph: Runner) -> None:
            scales = {name: of_rows[:1] for name, of_rows in styles.items()}
            wanted = self._eager.encode([row[:1] for row in ids], scales)
            states = wanted.states.float()
            error = (run(graph, 0, 1)[0] - states).abs().mean() / states.abs().mean()
            if not float(error) < NEAR_WORDS:
                raise ValueError(f"its embeddings are {float(error):.1%} off")

        key = Key(spec, 1, (0, 0))
        example = text_inputs(spec, [row[:1] for row in ids], {n: s[:1] for n, s in styles.items()})
        graph = self._graph(key, example, check)
        if graph is None:
            words: Words = self._eager.encode(ids, styles)
            return words
        parts = [run(graph, row, row + 1) for row in range(rows)]
        states, *pooled = (torch.cat(list(part)) for part in zip(*parts, strict=True))
        return Words(states, pooled[0] if pooled else None)

    def denoise(
        self,
        noise: Tensor,
        words: Words,
        styles: StyleScales,
        controls: Sequence[Control],
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        return self._eager.denoise(noise, words, styles, controls, generators)

    def decode(self, latents: Tensor, decoder: str) -> Tensor:
        return self._eager.decode(latents, decoder)

    def paint(
        self,
        noise: Tensor,
        words: Words,
        styles: StyleScales,
        controls: Sequence[Control],
        decoder: str,
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        names = tuple(sorted(styles)), tuple(sorted(control.name for control in controls))
        spec = Spec(decoder, *names)
        times = self._eager.times(noise)
        inputs = paint_inputs(spec, noise, words, times, styles, controls, self._factor)
        rows, sides = len(noise), (noise.shape[2], noise.shape[3])
        parts = []
        for first in range(0, rows, BATCHES[-1]):
            few = {name: value[first : first + BATCHES[-1]] for name, value in inputs.items()}
            count = len(few["noise"])
            few = _padded(few, next(batch for batch in BATCHES if batch >= count))
            key = Key(spec, len(few["noise"]), sides)

            def check(graph: Runner, few: Inputs = few) -> None:
                self._compare(graph, few, spec)

            graph = self._graph(key, few, check)
            if graph is None:
                return self._eager.paint(noise, words, styles, controls, decoder, generators)
            pixels, finite = _run(graph, few)
            check_finite(finite[:count])
            parts.append(pixels[:count])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _compare(self, graph: Runner, inputs: Inputs, spec: Spec) -> None:
        """Raises ValueError where a graph paints something else than the eager engine."""
        one = {name: value[:1] for name, value in inputs.items()}
        scales, images = one.get("scales"), one.get("images")
        styles = {name: scales[:, i] for i, name in enumerate(spec.styles)}  # type: ignore[index]
        controls = [
            Control(name, None, images[:, 3 * i : 3 * i + 3], scales[:, len(styles) + i])  # type: ignore[index]
            for i, name in enumerate(spec.controls)
        ]
        words = Words(one["states"], one.get("pooled"))
        wanted = self._eager.paint(one["noise"], words, styles, controls, spec.decoder)
        found = _run(graph, inputs)[0][:1]
        error = float((found.float() - wanted.float()).square().mean())
        near = 10 * math.log10(255**2 / max(error, 1e-9))
        log.info("%s: %.1f dB from the eager engine", spec, near)
        if near < (NEAR_32 if self._dtype == torch.float32 else NEAR_16):
            raise ValueError(f"its pictures are {near:.1f} dB from the eager engine's")

    def _graph(self, key: Key, inputs: Inputs, check: Callable[[Runner], None]) -> Runner | None:
        """The compiled graph, None where the eager engine is to answer. Raises SDXSError."""
        with self._lock:
            graph = self._graphs.get(key)
            if graph is not None:
                self._graphs.move_to_end(key)
                return graph
            self._asked[key] += 1
            often = self._asked[key]
        if self._waits and self._linear:
            self._builder.now(lambda: self._build(key, inputs, check))
            if key in self._failed:
                raise SDXSError(f"engine {self._runtime.name!r}: {self._failed[key]}")
            return self._graphs.get(key)
        if often == WORTH_IT and self._linear:
            self._builder.later(lambda: self._build(key, inputs, check))
        return None

    def _build(self, key: Key, inputs: Inputs, check: Callable[[Runner], None]) -> None:
        """Put a graph in its place, or a reason why not. Runs in the builder's turn."""
        if key in self._graphs or key in self._failed:
            return
        try:
            folder = self._stored.get(key.spec) or self._store(key.spec)
            self._stored[key.spec] = folder
            shapes = {name: tuple(value.shape) for name, value in inputs.items()}
            graph = self._runtime.load(folder, shapes)
            check(graph)
        except Stopped:
            return
        except Exception as error:  # a library's, of any kind: the eager engine goes on
            self._failed[key] = one_line(error, 300)
            if not self._waits:
                self._refuse(self._failed[key])
            return
        with self._lock:
            self._graphs[key] = graph
            while len(self._graphs) > KEPT:
                forgotten, _ = self._graphs.popitem(last=False)
                del self._asked[forgotten]
        log.info("painting by %s: %s", self._runtime.name, key)

    def _store(self, spec: Spec) -> Path:
        """The folder of a stored graph; it is traced where there is none."""
        facts = facts_of(self._runtime, self._places, spec)
        root = cache.cache_folder() / "graphs"
        try:
            if (folder := cache.found(facts, root)) is not None:
                return folder
            root.mkdir(parents=True, exist_ok=True)
            if not os.access(root, os.W_OK):
                raise PermissionError(f"{root} cannot be written")
        except OSError as error:
            log.warning("graphs are not kept: %s", one_line(error, 200))
            root = self._builder.own_folder()
        told = asked(self._runtime.name, self._dtype, self._places, spec, root)
        return Path(self._builder.run("sdxs.engines.convert", told))

    def _refuse(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            log.warning("painting without %s, slower: %s", self._runtime.name, reason)


def _end(builder: Builder, graphs: OrderedDict[Key, Runner]) -> None:
    """Of an engine that nobody holds any more, or before the program ends."""
    builder.end()
    graphs.clear()


def _run(graph: Runner, inputs: Inputs) -> list[Tensor]:
    arrays = {name: value.contiguous().numpy() for name, value in inputs.items()}
    return [torch.from_numpy(array) for array in graph(arrays)]


def _padded(inputs: Inputs, rows: int) -> Inputs:
    """The last row once more, until there are so many."""
    count = len(inputs["noise"])
    if count == rows:
        return inputs
    places = torch.arange(rows).clamp(max=count - 1)
    return {name: value[places] for name, value in inputs.items()}
