"""The engine of what is recorded: all from noise to pixels is launched once, then done again.

One recording for each kind of request, over tensors that stay where they are: a request is copied
into them, and what comes out is copied away. One request at a time. Knows nothing of how it is
recorded.
"""

import logging
import threading

import torch
from torch import Tensor

from sdxs.checkpoint.open import Opened
from sdxs.engines.prepared import Key, PreparedEngine
from sdxs.engines.recorder import Recorder
from sdxs.model.graph import Inputs, PaintGraph, TextGraph, build_graph

log = logging.getLogger(__name__)

RECORDINGS = 16  # kept at once
CPU = torch.device("cpu")


class CapturedEngine(PreparedEngine):
    """See `PreparedEngine`; one that does not wait records a kind within its second request."""

    batches = (1, 2, 4, 8, 16)

    def __init__(
        self,
        recorder: type[Recorder],
        opened: Opened,
        device: torch.device,
        dtype: torch.dtype,
        *,
        waits: bool,
    ) -> None:
        super().__init__(recorder.name, opened, device, dtype, waits=waits)
        self._recorder = recorder(device)
        self._turn = threading.RLock()  # of all that runs: recording sees the whole device

    def _prepare(self, key: Key, inputs: Inputs) -> None:
        assert self._step is not None  # else nothing is prepared
        try:
            while len(self._graphs) >= RECORDINGS:
                self._forget_oldest()
            graph = build_graph(self._eager, self._step, key.spec)
            recording = Recording(self._recorder, graph, inputs, self._eager.device)
            self._check(key, recording, inputs)
        except Exception as error:  # a library's, of any kind: the eager engine goes on
            self._fail(key, error)
            return
        self._graphs[key] = recording
        log.info("painting by %s: %s", self._name, key)


class Recording:
    """A graph, recorded for the shapes of its first inputs: from inputs on any device to pixels on
    the CPU, or to embeddings on the device, which nothing writes over."""

    def __init__(
        self,
        recorder: Recorder,
        graph: PaintGraph | TextGraph,
        inputs: Inputs,
        device: torch.device,
    ) -> None:
        self._device = device
        self._to = CPU if isinstance(graph, PaintGraph) else device
        self._buffers = {
            name: torch.zeros(value.shape, dtype=value.dtype, device=device)
            for name, value in inputs.items()
        }
        self._replay = recorder.record(graph, self._buffers)

    @torch.no_grad()
    def __call__(self, inputs: Inputs) -> list[Tensor]:
        for name, buffer in self._buffers.items():
            buffer.copy_(inputs[name], non_blocking=True)
        on_cuda = self._device.type == "cuda"
        pinned = on_cuda and self._to == CPU  # else a copy from there is not asynchronous
        found = [
            torch.empty(output.shape, dtype=output.dtype, device=self._to, pin_memory=pinned).copy_(
                output, non_blocking=True
            )
            for output in self._replay()
        ]
        if on_cuda:
            torch.cuda.current_stream(self._device).synchronize()
        return found
