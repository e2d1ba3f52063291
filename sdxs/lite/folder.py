"""An exported folder: what its `sdxs.json` says is in it, checked before it is believed.

`python -m sdxs.export` writes them; docs/export.md has the format. Knows nothing of what runs its
graphs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sdxs.arguments import Offer
from sdxs.errors import CheckpointError, one_line
from sdxs.lite.remedies import AGAIN, EXPORT
from sdxs.sources import Dictionary
from sdxs.tokens import PromptReader, PromptReaders

INDEX = "sdxs.json"
FORMAT, RUNTIME = 1, "onnx"
LARGEST = 4 * 2**20  # bytes of the index
LONGEST = 4096  # tokens of a window: CLIP's is 77


class Kind(NamedTuple):
    """Of a graph: the decoder, "" of a text encoder; the style and the control, "" for none."""

    decoder: str = ""
    style: str = ""
    control: str = ""


@dataclass(frozen=True)
class Graph:
    """An ONNX file, the names of its inputs, and the SHA-256 in hex of each file that it needs,
    itself among them."""

    file: Path
    inputs: tuple[str, ...]
    sums: Mapping[Path, str]


@dataclass(frozen=True)
class Exported:
    """What there is to know of an exported checkpoint.

    offer: with all the styles and controls that it has. text_styles: those that change text
    encoders, too. words, dictionary: as `SDXS` has them.
    """

    offer: Offer
    dtype: str
    readers: PromptReaders
    graphs: Mapping[Kind, Graph]
    text_styles: frozenset[str]
    words: Mapping[str, Sequence[str]]
    dictionary: Dictionary


def read(folder: Path) -> Exported:
    """Raises CheckpointError for a folder that is incomplete, damaged or of another format."""
    index = folder / INDEX
    try:
        if index.stat().st_size > LARGEST:
            raise CheckpointError(f"{index} is far too large: it is none of ours")
        told = json.loads(index.read_text(encoding="utf-8"))
        found, runtime = told["format"], told["runtime"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(index, error) from None
    if found != FORMAT:
        raise CheckpointError(
            f"{folder} is of format {one_line(found, 20)}, this version reads {FORMAT}: "
            f"export it again with {EXPORT}"
        )
    if runtime != RUNTIME:
        raise CheckpointError(
            f"{folder} is for {one_line(runtime, 20)}: {EXPORT} … --to {RUNTIME} is read here"
        )
    try:
        _complete(folder, told["files"])
        return _exported(folder, told)
    except CheckpointError:
        raise
    except Exception as error:  # of a foreign file, and of the tokenizers in it
        raise _unreadable(index, error) from None


def _unreadable(index: Path, error: Exception) -> CheckpointError:
    said = f"{type(error).__name__}: {one_line(error)}"
    return CheckpointError(f"{index} cannot be read ({said}): export it again with {EXPORT}")


def _exported(folder: Path, told: dict[str, Any]) -> Exported:
    about = told["about"]
    width, height = told["size"]
    readers = [_reader(folder, each) for each in told["tokenizers"]]
    offer = Offer(
        checkpoint=str(told["checkpoint"]),
        size=(int(width), int(height)),
        multiple=int(told["multiple"]),
        decoders=tuple(told["decoders"]),
        styles=tuple(told["styles"]),
        controls=tuple(told["controls"]),
        channels=int(told["channels"]),
        factor=int(told["factor"]),
    )
    offer.sides(offer.size)  # raises where no picture has that size
    if not offer.decoders:
        raise ValueError("no decoder")
    return Exported(
        offer,
        str(told["dtype"]),
        PromptReaders(readers),
        {
            Kind(each["decoder"], each["style"], each["control"]): Graph(
                _inside(folder, each["file"]),
                tuple(each["inputs"]),
                {
                    _inside(folder, name): str(told["files"][name]["sha256"])
                    for name in (each["file"], *each["weights"])
                },
            )
            for each in told["graphs"]
        },
        frozenset(told["text_styles"]),
        about["words"],
        Dictionary(about["fillers"], about["near"]),
    )


def _reader(folder: Path, told: Mapping[str, Any]) -> PromptReader:
    length = told["length"]
    if not 1 < length <= LONGEST:
        raise ValueError(f"a window of {length} tokens")
    return PromptReader(_inside(folder, told["file"]).read_text("utf-8"), told["pad"], length)


def check_content(file: Path, sum_told: str) -> None:
    """Raises CheckpointError where a file is not the one that was exported, OSError."""
    with open(file, "rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != sum_told:
            raise CheckpointError(f"{file} is damaged: {AGAIN}")


def _complete(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises CheckpointError where a file is missing or of another length."""
    for name, facts in files.items():
        file = _inside(folder, name)
        if not file.is_file() or file.stat().st_size != facts["bytes"]:
            what = "not whole" if file.is_file() else "missing"
            raise CheckpointError(f"{file} is {what}: {AGAIN}")


def _inside(folder: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} does not lie in the folder")
    return folder / path
