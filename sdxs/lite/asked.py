"""What `SDXS.load` may be asked for without torch, checked; each mistake names the remedy.

Knows nothing of graphs.
"""

import os
from collections.abc import Mapping
from typing import Any

from sdxs.arguments import choice
from sdxs.config import EMBEDDED
from sdxs.errors import TORCH, CheckpointError, InputError, did_you_mean, shown
from sdxs.lite.folder import Exported
from sdxs.lite.remedies import EXPORT
from sdxs.sources import ALL, Source, named

ENGINE = "lite"
AUTO = "auto"
DEFAULT = "SDXS_ENGINE"  # environment variable: what the engine "auto" is


def check_machine(device: Any, dtype: Any, engine: Any, exported: Exported) -> None:
    """Raises InputError for what is not a CPU, the folder's own dtype, and this engine."""
    if engine == AUTO:
        engine = os.environ.get(DEFAULT) or AUTO
    for what, value, own in (
        ("device", str(device), "cpu"),
        ("dtype", str(dtype).removeprefix("torch."), exported.dtype),
        ("engine", engine, ENGINE),
    ):
        if value not in (AUTO, own):
            raise InputError(f"{what} {shown(value)} needs PyTorch: {TORCH}; here it is {own!r}")


def wanted(what: str, value: Any, there: tuple[str, ...]) -> Mapping[str, str]:
    """The "styles" or "controls" to load: {what a call names: what it is called in the folder}.
    Raises InputError, CheckpointError."""
    pairs = named(what, value)
    if list(pairs.values()) == [ALL]:
        return {name: name for name in there}
    for source in pairs.values():
        if source not in there:
            raise CheckpointError(
                f"there is no {what.removesuffix('s')} {shown(source)} in the exported folder: "
                f"{did_you_mean(source, there)}it has {', '.join(there) or 'none'}. "
                f"{EXPORT} … --{what} adds others; {TORCH} loads any"
            )
    return {name: str(source) for name, source in pairs.items()}


def safety_of(source: Source, asked: Any) -> str:
    """What `SDXS.safety` says. Raises CheckpointError where a checker must be had: there is none
    here but for the model that needs none."""
    if asked is not True and asked is not False:
        choice("safety", asked, (AUTO,))
    if source.name == EMBEDDED and source.kind == "named":
        return "needless"
    if asked is True:
        raise CheckpointError(
            f"there is no safety checker for {source.name} without PyTorch: {TORCH}"
        )
    return "off" if asked is False else "missing"
