"""A person's own pictures and captions, from a folder as people keep them.

`metadata.jsonl` with `file_name` and `text`, as Hugging Face's datasets have it, or beside each
picture a text file of its name, as kohya's scripts do.
"""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdxs.picture import SUFFIXES, read_picture, to_rgb
from sdxs.train.run.loop import TrainingError

METADATA = "metadata.jsonl"
KEPT = 0.85  # of the middle square's side, at least, in a crop


def read_folder(folder: Path, side: int, views: int = 1) -> tuple[Tensor, list[str]]:
    """Pictures (N views, 3, side, side) uint8 and a caption of each.

    views: of each picture; the first is its middle square, the others are crops of that. Raises
    what `captioned` raises; InputError for a file that is no picture.
    """
    pictures, captions, rng = [], [], random.Random(0)
    for path, caption in captioned(folder):
        picture = to_rgb(read_picture(path))
        for view in range(views):
            pictures.append(square(picture, side, rng if view else None))
            captions.append(caption)
    return torch.stack(pictures), captions


def captioned(folder: Path) -> list[tuple[Path, str]]:
    """The files of pictures in a folder, by their names, each with its caption; none is opened.

    Raises TrainingError for a folder without pictures, or with one that has no caption.
    """
    if not folder.is_dir():
        raise TrainingError(f"there is no folder {folder}")
    told = _metadata(folder)
    paths = _pictures(folder)
    if not paths:
        below = sorted(place for place in folder.iterdir() if place.is_dir() and _pictures(place))
        if below:  # as kohya's scripts want it, whose repeats these are
            raise TrainingError(f"{folder} holds no picture itself: name {below[0]}")
        raise TrainingError(f"{folder} holds no picture: {', '.join(SUFFIXES)} are read")
    found = []
    for path in paths:
        caption = told.get(path.name)
        beside = path.with_suffix(".txt")
        if caption is None and beside.is_file():
            caption = _read(beside).strip()
        if caption is None:
            raise TrainingError(
                f"{path.name} has no caption: write {beside.name} beside it, or a line in "
                f"{METADATA}"
            )
        if not caption:
            raise TrainingError(f"the caption of {path.name} is empty: say what it shows")
        found.append((path, caption))
    return found


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )  # fmt: skip


def square(picture: Image.Image, side: int, rng: random.Random | None = None) -> Tensor:
    """The middle square of a picture, or a crop of it, drawn at random: (3, side, side) uint8."""
    whole = min(picture.size)
    size = whole * (rng.uniform(KEPT, 1) if rng else 1)
    x, y = (rng.uniform(0, whole - size) if rng else 0 for _ in range(2))
    left, top = ((length - whole) / 2 + at for length, at in zip(picture.size, (x, y), strict=True))
    box = (left, top, left + size, top + size)
    made = picture.resize((side, side), Image.Resampling.LANCZOS, box)
    return torch.from_numpy(np.array(made)).permute(2, 0, 1)


def fingerprint(pictures: Tensor, captions: list[str]) -> str:
    """Tells one folder's content from another's."""
    digest = hashlib.sha256(pictures.numpy().tobytes())
    digest.update("\0".join(captions).encode())
    return digest.hexdigest()[:16]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError:
        raise TrainingError(f"{file} is no UTF-8 text: save it as such") from None


def _metadata(folder: Path) -> dict[str, str]:
    file = folder / METADATA
    if not file.is_file():
        return {}
    told = {}
    for number, line in enumerate(_read(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = row["file_name"], row["text"]
            if not isinstance(name, str) or not isinstance(text, str):
                raise TypeError
            told[name] = text.strip()
        except (ValueError, TypeError, KeyError):
            raise TrainingError(
                f'{file}, line {number}: it must be {{"file_name": …, "text": …}}'
            ) from None
    return told
