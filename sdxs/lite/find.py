"""From what a person calls a checkpoint to the exported folder that holds it.

A name is a folder under `weights/onnx/`, anything else a folder. Knows nothing of what is in it.
"""

import os
import re
from pathlib import Path

from sdxs import sources
from sdxs.config import EMBEDDED
from sdxs.errors import TORCH, CheckpointError, InputError, did_you_mean, shown
from sdxs.lite.folder import INDEX
from sdxs.lite.remedies import EXPORT
from sdxs.sources import AUTO, Source

WHERE = "onnx"  # under weights/
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
REASON = "it comes with the light package"


def find(checkpoint: str | os.PathLike[str]) -> Source:
    """The folder of a checkpoint; "auto" is `SDXS_CHECKPOINT` if set, else the embedded one. Raises
    InputError for what is no name at all, CheckpointError for what is not here or not exported."""
    if isinstance(checkpoint, os.PathLike):
        return _path(os.fspath(checkpoint))
    if not isinstance(checkpoint, str) or not checkpoint.strip() or "\0" in checkpoint:
        raise InputError(f"checkpoint must be a name or a folder, not {shown(checkpoint)}")
    if checkpoint != AUTO:
        return _named(checkpoint) if _NAME.fullmatch(checkpoint) else _path(checkpoint)
    asked = os.environ.get("SDXS_CHECKPOINT", "").strip()
    chosen, reason = (asked, "SDXS_CHECKPOINT asks for it") if asked else (EMBEDDED, REASON)
    found = find(chosen if chosen != AUTO else EMBEDDED)
    return Source(found.name, found.folder, found.kind, reason)


def _named(name: str) -> Source:
    places = [root / WHERE / name for root in sources.roots()]
    for place in places:
        if os.path.isfile(place / INDEX):
            return Source(name, place, "named")
    names = [file.parent.name for place in places for file in place.parent.glob(f"*/{INDEX}")]
    raise CheckpointError(
        f"{name} has not been exported to {' or '.join(map(str, places))}: "
        f"{did_you_mean(name, names)}in the repository `make onnx` does that for {EMBEDDED}, "
        f"`make wheel` for a package to install; elsewhere {EXPORT} {name} --to onnx; or {TORCH}, "
        "which needs no export"
    )


def _path(path: str) -> Source:
    place = Path(os.path.expanduser(path))
    if not os.path.isfile(place / INDEX):
        problem = "holds no" if os.path.isdir(place) else "is no folder here with an"
        raise CheckpointError(
            f"{path} {problem} {INDEX}: without PyTorch only exported folders paint. "
            f"{EXPORT} {path} --to onnx makes one where PyTorch is, or {TORCH}"
        )
    place = place.resolve()
    if any(place.parent == (root / WHERE).resolve() for root in sources.roots()):
        return Source(place.name, place, "named")  # by its path or by its name: the same model
    return Source(path, place, "folder")
