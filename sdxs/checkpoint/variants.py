"""Which files hold a network's weights: one, shards with their index, a variant. By names alone.

Names are those that diffusers and transformers give: `STEM.safetensors`, `STEM.fp16.safetensors`,
`STEM-00001-of-00002.safetensors` with `STEM.safetensors.index.json`. Knows nothing of what is in
them.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sdxs.errors import CheckpointError, one_line

WHOLE = ".safetensors"
_PICKLE = (
    "is a pickle, which can run code when it is read: give the same weights as .safetensors, which "
    "their publisher or a converter has"
)
REFUSED = {  # ending of a file of weights -> why it is not read
    **dict.fromkeys((".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"), _PICKLE),
    ".gguf": "is quantized for other programs: give the same weights as .safetensors",
}
_NAME = re.compile(
    r"(?P<stem>[\w/-]+?)(?:\.(?P<variant>[\w-]+?))?(?P<shard>-\d{1,5}-of-\d{1,5})?"
    r"(?:\.(?P<after>[\w-]+))?\.safetensors(?P<index>\.index(?:\.(?P<last>[\w-]+))?\.json)?",
    re.ASCII,
)
ORDER = [("", False), ("", True), ("fp16", False), ("fp16", True)]  # variant, whether in shards


class _Named(NamedTuple):
    stem: str
    variant: str
    sharded: bool
    is_index: bool


def _read(name: str) -> _Named | None:
    found = _NAME.fullmatch(name)
    if not found:
        return None
    variant = found["variant"] or found["after"] or found["last"] or ""
    index = bool(found["index"])
    return _Named(found["stem"], variant, index or bool(found["shard"]), index)


def chosen(names: Iterable[str], stem: str) -> list[str]:
    """Of the files that there are, those of the weights that are read: one file, or shards with
    their index first. As stored, else in 16 bits, else the only variant that there is.

    [] where there are none. Raises CheckpointError where there are several other variants.
    """
    sets: dict[tuple[str, bool], list[str]] = {}
    for name in sorted(names):
        read = _read(name)
        if read and read.stem == stem:
            files = sets.setdefault((read.variant, read.sharded), [])
            files.insert(0, name) if read.is_index else files.append(name)
    # shards without an index are none, and an index alone says what is missing
    sets = {key: files for key, files in sets.items() if not key[1] or files[0].endswith(".json")}
    first = next((key for key in ORDER if key in sets), None)
    if first is None and len({variant for variant, _ in sets}) > 1:
        heads = ", ".join(one_line(files[0], 60) for files in list(sets.values())[:4])
        raise CheckpointError(
            f"{stem}.safetensors is missing, and of {heads} none is the usual one: name the one "
            f"that is meant {stem}.safetensors"
        )
    return sets[first if first is not None else min(sets)] if sets else []


def refuse_others(path: Path) -> None:
    """Files of weights that are not safetensors. Raises CheckpointError."""
    if path.suffix in REFUSED:
        raise CheckpointError(f"{path} {REFUSED[path.suffix]}")
