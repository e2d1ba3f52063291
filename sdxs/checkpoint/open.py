"""The one door of this wing: what a checkpoint's folder says of itself beside its networks."""

from pathlib import Path

from sdxs.checkpoint.tensors import read_json
from sdxs.errors import CheckpointError

WORDS = "words.json"


def read_words(folder: Path) -> dict[str, list[str]]:
    """The phrases that a checkpoint states it understands, heading by heading; {} for any words."""
    if not (folder / WORDS).is_file():
        return {}
    words = read_json(folder / WORDS)
    for phrases in words.values():
        if not isinstance(phrases, list) or not all(isinstance(text, str) for text in phrases):
            raise CheckpointError(f"{folder / WORDS}: a heading needs a list of phrases")
    return words
