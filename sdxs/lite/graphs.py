"""The graphs of an exported folder in ONNX Runtime: loaded when first needed, the last ones kept.

Knows nothing of what they compute.
"""

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sdxs.errors import CheckpointError, SDXSError, blaming, one_line
from sdxs.granted import threads
from sdxs.lite.folder import Exported, Kind, check_content
from sdxs.lite.remedies import AGAIN, EXPORT, NOTHING_PAINTS

KEPT = 4  # graphs that paint; one of the embedded model takes 75 MB


def library() -> Any:
    """The package. Raises SDXSError, which names what can be installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise SDXSError(NOTHING_PAINTS)
    try:
        import onnxruntime
    except Exception as error:  # a broken one raises anything
        raise SDXSError(
            f"onnxruntime cannot be imported ({one_line(error)}): {NOTHING_PAINTS}"
        ) from None
    return onnxruntime


class Graphs:
    """What runs the graphs. Any number of threads may call it: one at a time uses all its cores."""

    def __init__(self, runtime: Any, exported: Exported) -> None:
        self._library = runtime
        self._graphs = exported.graphs
        self._sessions: OrderedDict[Kind, Any] = OrderedDict()
        self._checked: set[Path] = set()
        self._lock = threading.Lock()

    def __call__(self, kind: Kind, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """A graph's outputs. Raises CheckpointError where there is none of the kind, or it cannot
        be loaded or run."""
        with self._lock:
            session = self._sessions.pop(kind, None) or self._loaded(kind)
            self._sessions[kind] = session
            painting = [each for each in self._sessions if each.decoder]
            for other in painting[:-KEPT]:
                del self._sessions[other]
            with blaming(f"{self._graphs[kind].file} cannot be run", f": {AGAIN}"):
                outputs: list[NDArray[Any]] = session.run(None, dict(inputs))
            return outputs

    def _loaded(self, kind: Kind) -> Any:
        if kind not in self._graphs:
            what = " with ".join(filter(None, kind))
            raise CheckpointError(f"no graph was exported for {what}: {EXPORT} makes all of them")
        options = self._library.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 3
        file, sums = self._graphs[kind].file, self._graphs[kind].sums
        with blaming(f"{file} cannot be loaded", f": {AGAIN}"):
            for each in sums.keys() - self._checked:  # many graphs share their weights
                check_content(each, sums[each])
                self._checked.add(each)
            return self._library.InferenceSession(file, options, providers=["CPUExecutionProvider"])
