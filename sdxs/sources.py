"""What a checkpoint is called, where those that ship lie, and the words that it says it knows.

Plain records and lookups. Knows nothing of what is in a checkpoint's files.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdxs.errors import InputError, shown

AUTO = "auto"  # a checkpoint: the best one that is here
ALL = "all"  # styles or controls that there are
PACKAGE = Path(__file__).resolve().parent
OWN_WEIGHTS = next(  # in an installed package, or beside it in the repository
    filter(Path.is_dir, (PACKAGE / "weights", PACKAGE.parent / "weights")), PACKAGE / "weights"
)
Wanted = str | Sequence[str] | Mapping[str, str] | None


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from: what was chosen, why, and how to get the real model.

    folder: in diffusers' layout, or an exported one, or a single safetensors file of the whole
    checkpoint. `reason` and `hint` are meant for people: a short clause ("" where the checkpoint
    was asked for by name), and a command to type ("" where it is not the embedded stand-in).
    """

    name: str
    folder: Path
    kind: Literal["named", "folder", "hub"]
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Dictionary:
    """Words beside the phrases. fillers: those that a prompt may have as well, such as "the". near:
    of a word that is not understood, those that are, the nearest first."""

    fillers: list[str] = field(default_factory=list)
    near: Mapping[str, list[str]] = field(default_factory=dict)


def roots() -> list[Path]:
    """Where names are looked up: `SDXS_WEIGHTS`, if it is set, then our own weights."""
    own = os.environ.get("SDXS_WEIGHTS")
    return [Path(os.path.expanduser(own)), OWN_WEIGHTS] if own else [OWN_WEIGHTS]


def named(what: str, value: Any) -> dict[str, Any]:
    """Styles or controls to load, {name: source}: from a name, several, or a mapping."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = dict(value)
    else:
        items = [value] if isinstance(value, str | os.PathLike) else value
        if not isinstance(items, Sequence):
            items = [None]
        pairs = {os.fspath(item) if _named(item) else "": item for item in items}
    for name, source in pairs.items():
        if not isinstance(name, str) or not name or not _named(source):
            raise InputError(
                f"{what} must be a name, a list of names, or {{name: source}}, not {shown(value)}"
            )
    return pairs


def _named(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))
