"""Engines that have a graph ready for each kind of request, and the eager engine until they have.

Here a request becomes a kind and the inputs of its graph, row by row for text, in few numbers of
rows for pictures; what fails is told once. How a graph is made is for those that inherit. Knows no
library.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sdxs.checkpoint.open import Opened, Parts
from sdxs.engines.compare import Run, same_pixels, same_words
from sdxs.errors import InputError, SDXSError, one_line
from sdxs.model.controls import Control
from sdxs.model.eager import EagerEngine, size_ids
from sdxs.model.graph import Inputs, Spec, in_batches, paint_inputs, text_inputs
from sdxs.model.styles import StyleScales
from sdxs.model.text import Words
from sdxs.picture import check_finite

log = logging.getLogger(__name__)

WORTH_IT = 2  # requests of a kind, from which on a graph is made for it
AGAIN = 600  # seconds after which what has failed is tried once more


class Key(NamedTuple):
    """A kind of request: what its graph is of, rows, and the latents' size (h, w)."""

    spec: Spec
    rows: int
    size: tuple[int, int]

    def __str__(self) -> str:
        """As people read it: "the tiny decoder, 8 at once", with styles and controls."""
        decoder, worn = self.spec.decoder, [*self.spec.styles, *self.spec.controls]
        parts = [f"the {decoder} decoder" if decoder else "the text encoders"]
        return ", ".join(parts + [f"with {name}" for name in worn] + [f"{self.rows} at once"])


def eager_engine(parts: Parts, device: torch.device, dtype: torch.dtype) -> EagerEngine:
    """The eager engine on networks that are folded as far as PyTorch gains by it."""
    from sdxs.model.folding import fold  # with the libraries that build networks

    networks, _, one_step = parts()
    folded = fold(networks, one_step.timestep, transposed=False)
    return EagerEngine(folded, one_step, device, dtype)


class PreparedEngine(ABC):
    """See `sdxs.model.engine.Engine`. waits: a request waits for its graph, and fails without it;
    else the eager engine answers until it is there, or where it cannot be made. Raises InputError
    where one that waits cannot have graphs at all.

    _turn: held by a request while it is answered; nothing where several may be at once. _quantized:
    graphs are in 8-bit integers.
    """

    batches: ClassVar[tuple[int, ...]]  # rows that there are graphs for
    _turn: AbstractContextManager[Any] = nullcontext()
    _quantized = False

    def __init__(
        self, name: str, opened: Opened, device: torch.device, dtype: torch.dtype, *, waits: bool
    ) -> None:
        self._opened, self._place = opened, (device, dtype)
        self._factor, self._step = opened.facts.offer.factor, opened.facts.step
        self._made: EagerEngine | None = None
        self._name, self._waits = name, waits
        self._graphs: OrderedDict[Key, Run] = OrderedDict()  # the one used last is last
        self._failed: dict[Key, tuple[float, str]] = {}
        self._said: set[str] = set()
        self._asked: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        if self._step is None:
            reason = "this checkpoint's scheduler clips or adds noise"
            if waits:
                raise InputError(f"engine {name!r} cannot be had: {reason}")
            self._refuse(reason)

    @property
    def _eager(self) -> EagerEngine:
        """The eager engine, which reads the networks when it is first needed."""
        with self._loading:
            if self._made is None:
                self._check_files()
                self._made = eager_engine(self._opened.parts, *self._place)
            return self._made

    def _check_files(self) -> None:  # noqa: B027
        """Raises SDXSError where networks that are read only now are no longer those that were
        opened."""

    @abstractmethod
    def _prepare(self, key: Key, inputs: Inputs) -> None:
        """Put a graph for such inputs, checked, among `_graphs`, or say why not by `_fail`; at once
        if this engine waits."""

    def _check(self, key: Key, run: Run, inputs: Inputs) -> None:
        """Raises ValueError where a graph is too far from the eager engine."""
        if key.spec.decoder:
            same_pixels(self._eager, run, inputs, key.spec, quantized=self._quantized)
        else:
            same_words(self._eager, run, inputs, key.spec)

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
        with self._turn:
            parts = self._run(Key(spec, 1, (0, 0)), rows)
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
        with self._turn:
            return self._eager.denoise(noise, words, styles, controls, generators)

    def decode(self, latents: Tensor, decoder: str) -> Tensor:
        with self._turn:
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
        time_ids = size_ids(noise, self._factor)
        found = []
        with self._turn:
            inputs = paint_inputs(spec, noise, words, time_ids, styles, controls, self._factor)
            for few, count in in_batches(inputs, self.batches):
                key = Key(spec, len(few["noise"]), (noise.shape[2], noise.shape[3]))
                parts = self._run(key, [few])
                if parts is None and count > 1:  # not there yet: row by row, if that is
                    parts = self._run(key._replace(rows=1), _rows(few, count))
                if parts is None:
                    return self._eager.paint(noise, words, styles, controls, decoder, generators)
                pixels, finite = (torch.cat(list(part)) for part in zip(*parts, strict=True))
                check_finite(finite[:count], self._place[1])
                found.append(pixels[:count])
        return found[0] if len(found) == 1 else torch.cat(found)

    def _run(self, key: Key, inputs: Sequence[Inputs]) -> list[Sequence[Tensor]] | None:
        """What a graph makes of each of the inputs, None where the eager engine is to answer.
        Raises SDXSError where it may not."""
        graph = self._graph(key, inputs[0])
        if graph is None:
            return None
        try:
            return [graph(each) for each in inputs]
        except Exception as error:  # a library's, of any kind
            self._fail(key, error)
            with self._lock:
                self._graphs.pop(key, None)
            if self._waits:
                raise self._without(key) from None
            return None

    def _graph(self, key: Key, inputs: Inputs) -> Run | None:
        """The graph of a kind; where there is none, it is made when that is due."""
        if self._step is None:
            return None
        with self._lock:
            if key in self._graphs:
                self._graphs.move_to_end(key)
                return self._graphs[key]
            due = self._waits or self._is_due(key)
        if due:
            self._prepare(key, inputs)
        with self._lock:
            graph = self._graphs.get(key)
        if graph is None and self._waits:
            raise self._without(key)
        return graph

    def _is_due(self, key: Key) -> bool:
        """Of one more request of a kind without a graph: whether it is time to make one."""
        self._asked[key] += 1
        if key not in self._failed:
            return self._asked[key] == WORTH_IT
        due = time.monotonic() - self._failed[key][0] > AGAIN
        if due:
            del self._failed[key]
        return due

    def _forget_oldest(self) -> Key:
        """The graph that was not used for longest goes; its kind counts as new."""
        key, _ = self._graphs.popitem(last=False)
        del self._asked[key]
        return key

    def _fail(self, key: Key, error: Exception) -> None:
        self._failed[key] = (time.monotonic(), one_line(error, 300))
        if not self._waits:
            self._refuse(one_line(error, 300))

    def _without(self, key: Key) -> SDXSError:
        _, reason = self._failed.get(key, (0, "it has been stopped"))
        return SDXSError(f"engine {self._name!r}: {reason}")

    def _refuse(self, reason: str) -> None:
        if reason not in self._said:
            self._said.add(reason)
            log.warning("painting without %s, slower: %s", self._name, reason)


def _rows(inputs: Inputs, count: int) -> list[Inputs]:
    """The first rows, each alone."""
    return [{name: value[i : i + 1] for name, value in inputs.items()} for i in range(count)]
