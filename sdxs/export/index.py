"""What a folder of graphs says of itself: `sdxs.json`, and the tokenizers beside it.

Knows nothing of how graphs are made.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sdxs.checkpoint.open import Opened
from sdxs.config import VERSION
from sdxs.export.graphs import Graph, Written
from sdxs.service.about import About

INDEX = "sdxs.json"
FORMAT = 1


def describe(
    folder: Path,
    opened: Opened,
    about: About,
    runtime: str,
    dtype: torch.dtype,
    graphs: Sequence[Graph],
    written: Mapping[str, Written],
) -> None:
    """Write tokenizers and index beside the graphs, which are there, `written` by name. Raises
    OSError."""
    offer, readers = opened.facts.offer, opened.facts.readers.readers
    tokenizers = []
    for number, reader in enumerate(readers, 1):
        name = "tokenizer.json" if number == 1 else f"tokenizer_{number}.json"
        (folder / name).write_text(reader.json, encoding="utf-8")
        tokenizers.append({"file": name, "pad": reader.pad, "length": reader.length})
    index = {
        "format": FORMAT,
        "sdxs": VERSION,
        "checkpoint": about.checkpoint,
        "runtime": runtime,
        "dtype": str(dtype).removeprefix("torch."),
        "size": offer.size,
        "multiple": offer.multiple,
        "channels": offer.channels,
        "factor": offer.factor,
        "tokenizers": tokenizers,
        "decoders": offer.decoders,
        "styles": offer.styles,
        "controls": offer.controls,
        "text_styles": sorted(opened.facts.text_styles),
        "graphs": [
            {
                "file": written[graph.name].file,
                "decoder": graph.spec.decoder,
                "style": graph.style,
                "control": graph.control,
                "inputs": written[graph.name].inputs,
                "outputs": graph.outputs,
                "weights": written[graph.name].weights,
            }
            for graph in graphs
        ],
        "files": dict(_files(folder)),
        "about": dataclasses.asdict(about),
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _files(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with open(file, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            row = {"bytes": file.stat().st_size, "sha256": digest}
            yield file.relative_to(folder).as_posix(), row


def is_own(folder: Path) -> bool:
    """Whether a folder holds nothing but what an export left."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        known = {INDEX, *index["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    return there <= known
