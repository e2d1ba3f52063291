"""The engine of graphs: each is built when it is first needed, while the eager engine answers.

One thread builds: it finds the graph on disk or has it stored by a process of its own, compiles it,
compares it with the eager engine once, and puts it in its place.
"""

import functools
import logging
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from sdxs.checkpoint.open import Opened
from sdxs.engines import cache
from sdxs.engines.builder import Builder, Stopped
from sdxs.engines.calibration import prompts_of
from sdxs.engines.compare import Run, outputs
from sdxs.engines.facts import CHANGED, Changed, facts_of, remember, request
from sdxs.engines.prepared import Key, PreparedEngine
from sdxs.engines.runtime import Runtime
from sdxs.errors import SDXSError, one_line
from sdxs.granted import granted_memory
from sdxs.model.graph import Inputs, Spec

log = logging.getLogger(__name__)

SHARE = 1 / 3  # of the memory, for compiled graphs; the one in use stays
COPIES = 3  # of the weights of a graph on disk, that are in memory once it is compiled
ROOM = 80  # bytes of a pixel, for what is between noise and picture


class GraphEngine(PreparedEngine):
    """See `PreparedEngine`; the graphs are a runtime's. prompts: to calibrate on, in the place of
    the checkpoint's own; InputError where there are none."""

    batches = (1, 2, 4, 8)

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
        super().__init__(runtime.name, opened, device, dtype, waits=waits)
        self._places, self._dtype, self._remembered = opened.places, dtype, False
        self._stamps = cache.stamps(opened.places.files())
        self._runtime = runtime(device, dtype)
        self._quantized = runtime.calibrated
        if runtime.calibrated and not prompts:
            prompts = prompts_of(opened.places, opened.source.name)
        self._prompts = prompts
        self._builder = Builder()
        self._sizes: dict[Key, int] = {}  # bytes in memory
        self._most = SHARE * granted_memory()
        self._stored: dict[Spec, Path] = {}
        weakref.finalize(self, _end, self._builder, self._graphs)  # also before the program ends

    def _check_files(self) -> None:
        if not self._opened.parts.loaded and cache.stamps(self._places.files()) != self._stamps:
            raise SDXSError(f"{CHANGED}: start again")

    def _is_due(self, key: Key) -> bool:
        return super()._is_due(key) or self._is_nearest(key)

    def _is_nearest(self, key: Key) -> bool:
        """Whether a stored graph is there sooner than the eager engine."""
        if self._opened.parts.loaded or key in self._failed:
            return False
        try:
            return cache.has(self._facts(key.spec), _root())
        except OSError:
            return False

    def _prepare(self, key: Key, inputs: Inputs) -> None:
        at_once = self._waits or self._is_nearest(key)
        (self._builder.now if at_once else self._builder.later)(lambda: self._build(key, inputs))

    def _build(self, key: Key, inputs: Inputs) -> None:
        """Put a graph in its place, or a reason why not. Runs in the builder's turn."""
        if key in self._graphs:
            return
        try:
            folder = self._folder(key.spec)
            shapes = {name: tuple(value.shape) for name, value in inputs.items()}
            graph = functools.partial(outputs, self._runtime.compile(folder, shapes))
            if self._builder.ending:
                return
            if not cache.is_marked(folder, mark := f"{key.rows}x{key.size[0]}x{key.size[1]}"):
                self._check(key, graph, inputs)
                cache.mark(folder, mark)
            size = self._memory(key, sum(file.stat().st_size for file in folder.iterdir()))
        except Stopped:
            return
        except Exception as error:  # a library's, of any kind: the eager engine goes on
            self._stored.pop(key.spec, None)
            self._fail(key, error)
            return
        with self._lock:
            self._graphs[key], self._sizes[key] = graph, size
            while (
                len(self._graphs) > 1
                and sum(self._sizes[each] for each in self._graphs) > self._most
            ):
                self._forget_oldest()
        log.info("painting by %s: %s", self._runtime.name, key)
        if not self._remembered:
            remember(self._opened)
            self._remembered = True

    def _taken(self) -> int:
        return sum(self._sizes[key] for key in self._graphs)

    def _memory(self, key: Key, stored: int) -> int:
        """Bytes that a graph takes when it is compiled, about, as OpenVINO has it. stored: on
        disk."""
        height, width = key.size
        return COPIES * stored + ROOM * key.rows * height * width * self._factor**2

    def _facts(self, spec: Spec) -> dict[str, Any]:
        """All that a graph depends on. Raises OSError."""
        return facts_of(self._runtime, self._places, spec, self._prompts)

    def _folder(self, spec: Spec) -> Path:
        """Where a graph is stored; it is traced where there is none. Raises Changed, Stopped,
        ValueError, OSError."""
        known = self._stored.get(spec)
        if known is not None and (known / cache.ENTRY).is_file():
            cache.used(known)
            return known
        if cache.stamps(self._places.files()) != self._stamps:
            raise Changed(CHANGED)
        facts = self._facts(spec)
        folder = _kept(facts)
        if folder is None:
            if self._builder.ending:
                raise Stopped
            try:
                root = _root()
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


def _root() -> Path:
    return cache.cache_folder() / "graphs"


def _kept(facts: dict[str, Any]) -> Path | None:
    """The folder of a graph that was kept, if it is there and there is a place to keep any."""
    with suppress(OSError):
        return cache.found(facts, _root())
    return None


def _end(builder: Builder, graphs: OrderedDict[Key, Run]) -> None:
    """Of an engine that nobody holds any more, or before the program ends."""
    builder.end()
    graphs.clear()
