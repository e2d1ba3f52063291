"""The parts of a checkpoint, whether it is a folder in diffusers' layout or a single file.

Knows nothing of what is made of them, that is `parts`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sdxs.checkpoint.files import beside
from sdxs.checkpoint.single_file import SingleFile
from sdxs.checkpoint.tensors import read_config, read_json
from sdxs.checkpoint.weights import Part, part_of
from sdxs.errors import CheckpointError

STEMS = {"text_encoder": "model", "text_encoder_2": "model"}  # others have diffusers' usual one
SCHEDULER_CONFIG = "scheduler_config.json"


class Layout(Protocol):
    """Parts have the names of the folders in diffusers' layout. Whatever is asked for is checked;
    raises CheckpointError."""

    index: Path  # what states the kind

    def kind(self) -> Any:
        """The name of diffusers' pipeline."""

    def zeros(self) -> bool:
        """Whether SDXL's guidance leads away from zeros, not from the empty prompt."""

    def has(self, name: str) -> bool:
        """Whether there is a network of that name."""

    def part(self, name: str, known: Mapping[str, Any]) -> Part:
        """A network of one of the classes `known`."""

    def scheduler(self, known: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
        """The file that is blamed, and the settings."""

    def tokenizer(self, name: str) -> tuple[Path, str | None]:
        """Its folder, and what it is to pad with, None for what it says itself."""


def layout_of(place: Path) -> Layout:
    """Raises CheckpointError."""
    return FileLayout(place) if place.is_file() else FolderLayout(place)


class FolderLayout:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.index = folder / "model_index.json"

    def kind(self) -> Any:
        return read_json(self.index).get("_class_name")

    def zeros(self) -> bool:
        there = os.path.isfile(self.index)
        return bool(not there or read_json(self.index).get("force_zeros_for_empty_prompt", True))

    def has(self, name: str) -> bool:
        return os.path.isdir(self._folder / name)

    def part(self, name: str, known: Mapping[str, Any]) -> Part:
        return part_of(self._folder / name, known, STEMS.get(name, "diffusion_pytorch_model"))

    def scheduler(self, known: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
        return read_config(self._folder / "scheduler", known, SCHEDULER_CONFIG)

    def tokenizer(self, name: str) -> tuple[Path, str | None]:
        return self._folder / name, None


class FileLayout:
    """What the file does not bring lies beside it (`files.beside`)."""

    def __init__(self, file: Path) -> None:
        self.index = file
        self._file = SingleFile(file)
        self._beside = beside(file)

    def kind(self) -> Any:
        return self._file.pipeline

    def zeros(self) -> bool:
        return True

    def has(self, name: str) -> bool:
        return self._file.has(name)

    def part(self, name: str, known: Mapping[str, Any]) -> Part:
        return self._file.part(name)

    def scheduler(self, known: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
        if "scheduler" in self._beside:
            return read_config(self._beside["scheduler"], known, SCHEDULER_CONFIG)
        return self._file.scheduler()

    def tokenizer(self, name: str) -> tuple[Path, str | None]:
        if name in self._beside:
            return self._beside[name], None
        folder = self._beside.get("clip") or self._beside.get("tokenizer")
        if folder is None:
            raise CheckpointError(f"{self.index} brings no {name}: put a folder {name} beside it")
        return folder, self._file.pads_with.get(name)
