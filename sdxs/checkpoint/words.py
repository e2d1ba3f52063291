"""What a checkpoint says of the words that it understands, in two files. Both may be missing.

One has phrases under headings, for people to choose from; the dictionary has what pages need to
find the other words of a prompt, and what to offer for them.
"""

from pathlib import Path
from typing import Any

from sdxs.checkpoint.tensors import read_json
from sdxs.errors import CheckpointError
from sdxs.sources import Dictionary


def read_words(file: Path) -> dict[str, list[str]]:
    """The phrases that a checkpoint states it understands, heading by heading; {} for any words."""
    if not file.is_file():
        return {}
    words = read_json(file)
    if not all(map(_are_texts, words.values())):
        raise CheckpointError(f"{file}: a heading needs a list of phrases")
    return words


def read_dictionary(file: Path) -> Dictionary:
    """The words beside the phrases, as far as a checkpoint states them."""
    if not file.is_file():
        return Dictionary()
    content = read_json(file)
    fillers, near = content.get("fillers", []), content.get("near", {})
    if not _are_texts(fillers):
        raise CheckpointError(f"{file}: fillers must be a list of words")
    if not isinstance(near, dict) or not all(map(_are_texts, near.values())):
        raise CheckpointError(f"{file}: near must have a list of words for each word")
    return Dictionary(fillers, near)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
