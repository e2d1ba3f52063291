"""The engine of graphs: each is built when it is first needed, while the eager engine answers.

One thread builds: it finds the graph on disk or has it stored by a process of its own, compiles it,
compares it with the eager engine once, and puts it in its place.
"""

import logging
import tempfile
import threading
import time
import weakref
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdxs.checkpoint.open import Opened
from sdxs.engines import cache
from sdxs.engines.builder import Builder, Stopped
from sdxs.engines.calibration import prompts_of
from sdxs.engines.compare import outputs, same_pixels, same_words
from sdxs.engines.convert import Changed, facts_of, request
from sdxs.engines.runtime import CompiledGraph, Runtime
from sdxs.errors import InputError, SDXSError, one_line
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine
from sdxs.model.graph import Inputs, Spec, paint_inputs, text_inputs
from sdxs.model.styles import StyleScales
from sdxs.model.text import Words
from sdxs.picture import check_finite

log = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8)
WORTH_IT = 2  # requests of a kind, from which on a graph is built in the background
KEPT = 3_000_000_000  # bytes of the weights of compiled graphs; the one in use stays
AGAIN = 600  # seconds after which what has failed is tried once more


class Key(NamedTuple):
    """A compiled graph: what it is of, rows, and the latents' size (h, w)."""

    spec: Spec
    rows: int
    size: tuple[int, int]


class GraphEngine:
    """See `sdxs.model.engine.Engine`. waits: a request waits for its graph, and fails without it;
    else the eager engine answers until it is there, or where it cannot be built. prompts: to
    calibrate on, in the place of the checkpoint's own. Raises InputError where one that waits
    cannot have graphs at all."""

    def __init__(
        self,
        runtime: type[Runtime],
        opened: Opened,
        device: torch.device,
        dtype: torch.dtype,
        *,
        waits: bool,
        prompts: Sequence[str] = (),
    ) -> None:
        self._eager = EagerEngine(opened.networks, opened.one_step, device, dtype)
        self._places, self._dtype, self._factor = opened.places, dtype, opened.networks.factor
        self._stamps = cache.stamps(opened.places.files())
        self._linear = opened.one_step.linear() is not None
        self._waits = waits
        self._runtime = runtime(device, dtype)
        if runtime.calibrated and not prompts:
            prompts = prompts_of(opened.places, opened.source.name)
        self._prompts = prompts
        self._builder = Builder()
        self._graphs: OrderedDict[Key, CompiledGraph] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self._stored: dict[Spec, Path] = {}
        self._failed: dict[Key, tuple[float, str]] = {}
        self._said: set[str] = set()
        self._asked: Counter[Key] = Counter()
        self._lock = threading.Lock()
        if not self._linear:
            reason = "this checkpoint's scheduler clips or adds noise"
            if waits:
                raise InputError(f"engine {runtime.name!r} cannot be had: {reason}")
            self._refuse(reason)
        weakref.finalize(self, _end, self._builder, self._graphs)  # also before the program ends

    def encode(self, ids: Sequence[Tensor], styles: StyleScales) -> Words:
        spec = Spec(styles=tuple(sorted(styles)))
        rows = [
            text_inputs(
                spec,
                [of_encoder[row : row + 1] for of_encoder in ids],
                {name: scales[row : row + 1] for name, scales in styles.items()},
            )
            for row in range(len(ids[0]))
        ]
        key = Key(spec, 1, (0, 0))
        parts = self._run(key, rows)
        if parts is None:
            words: Words = self._eager.encode(ids, styles)
            return words
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
        time_ids = self._eager.time_ids(noise)
        inputs = paint_inputs(spec, noise, words, time_ids, styles, controls, self._factor)
        found = []
        for first in range(0, len(noise), BATCHES[-1]):
            few = {name: value[first : first + BATCHES[-1]] for name, value in inputs.items()}
            count = len(few["noise"])
            few = _padded(few, next(batch for batch in BATCHES if batch >= count))
            key = Key(spec, len(few["noise"]), (noise.shape[2], noise.shape[3]))
            parts = self._run(key, [few])
            if parts is None and count > 1:  # not there yet: row by row, if that is
                rows = [
                    {name: value[i : i + 1] for name, value in few.items()} for i in range(count)
                ]
                parts = self._run(key._replace(rows=1), rows)
            if parts is None:
                return self._eager.paint(noise, words, styles, controls, decoder, generators)
            pixels, finite = (torch.cat(list(part)) for part in zip(*parts, strict=True))
            check_finite(finite[:count])
            found.append(pixels[:count])
        return found[0] if len(found) == 1 else torch.cat(found)

    def _run(self, key: Key, inputs: Sequence[Inputs]) -> list[list[Tensor]] | None:
        """What a graph makes of each of the inputs, None where the eager engine is to answer.
        Raises SDXSError where it may not."""
        graph = self._graph(key, inputs[0])
        if graph is None:
            return None
        try:
            return [outputs(graph, each) for each in inputs]
        except Exception as error:  # a library's, of any kind
            self._fail(key, error)
            with self._lock:
                self._graphs.pop(key, None)
            if self._waits:
                raise self._without(key) from None
            return None

    def _graph(self, key: Key, inputs: Inputs) -> CompiledGraph | None:
        with self._lock:
            graph = self._graphs.get(key)
            if graph is not None:
                self._graphs.move_to_end(key)
                return graph
            self._asked[key] += 1
            failed = self._failed.get(key)
            due = time.monotonic() - failed[0] > AGAIN if failed else self._asked[key] == WORTH_IT
        if not self._linear:
            return None
        if self._waits:
            self._builder.now(lambda: self._build(key, inputs))
            with self._lock:
                if key not in self._graphs:
                    raise self._without(key)
                return self._graphs[key]
        if due:
            self._failed.pop(key, None)
            self._builder.later(lambda: self._build(key, inputs))
        return None

    def _build(self, key: Key, inputs: Inputs) -> None:
        """Put a graph in its place, or a reason why not. Runs in the builder's turn."""
        if key in self._graphs:
            return
        try:
            folder = self._folder(key.spec)
            shapes = {name: tuple(value.shape) for name, value in inputs.items()}
            graph = self._runtime.compile(folder, shapes)
            if self._builder.ending:
                return
            if key.spec.decoder:
                same_pixels(self._eager, graph, inputs, key.spec, self._runtime.fidelity)
            else:
                same_words(self._eager, graph, inputs, key.spec)
            size = sum(file.stat().st_size for file in folder.iterdir())
        except Stopped:
            return
        except Exception as error:  # a library's, of any kind: the eager engine goes on
            self._stored.pop(key.spec, None)
            self._fail(key, error)
            return
        with self._lock:
            self._graphs[key], self._sizes[key] = graph, size
            while len(self._graphs) > 1 and sum(self._sizes[each] for each in self._graphs) > KEPT:
                forgotten, _ = self._graphs.popitem(last=False)
                del self._asked[forgotten]
        log.info("painting by %s: %s", self._runtime.name, key)

    def _folder(self, spec: Spec) -> Path:
        """Where a graph is stored; it is traced where there is none. Raises Changed, Stopped,
        ValueError, OSError."""
        known = self._stored.get(spec)
        if known is not None and (known / cache.ENTRY).is_file():
            cache.used(known)
            return known
        if cache.stamps(self._places.files()) != self._stamps:
            raise Changed("the weights on disk have changed since they were loaded")
        facts = facts_of(self._runtime, self._places, spec, self._prompts)
        root = cache.cache_folder() / "graphs"
        folder = cache.found(facts, root)
        if folder is None:
            if self._builder.ending:
                raise Stopped
            try:
                root.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=root):
                    pass
                folder = self._store(spec, facts, root)
            except OSError as error:
                log.warning("graphs are not kept: %s", one_line(error, 200))
                folder = self._store(spec, facts, self._builder.own_folder())
        self._stored[spec] = folder
        return folder

    def _store(self, spec: Spec, facts: dict[str, Any], root: Path) -> Path:
        told = request(self._runtime.name, self._dtype, self._places, spec, facts, root)
        self._builder.run("sdxs.engines", told)
        return root / cache.name_of(facts)

    def _fail(self, key: Key, error: Exception) -> None:
        self._failed[key] = (time.monotonic(), one_line(error, 300))
        if not self._waits:
            self._refuse(one_line(error, 300))

    def _without(self, key: Key) -> SDXSError:
        _, reason = self._failed.get(key, (0, "it has been stopped"))
        return SDXSError(f"engine {self._runtime.name!r}: {reason}")

    def _refuse(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            log.warning("painting without %s, slower: %s", self._runtime.name, reason)


def _end(builder: Builder, graphs: OrderedDict[Key, CompiledGraph]) -> None:
    """Of an engine that nobody holds any more, or before the program ends."""
    builder.end()
    graphs.clear()


def _padded(inputs: Inputs, rows: int) -> Inputs:
    """The last row once more, until there are so many."""
    count = len(inputs["noise"])
    if count == rows:
        return inputs
    places = torch.arange(rows).clamp(max=count - 1)
    return {name: value[places] for name, value in inputs.items()}
