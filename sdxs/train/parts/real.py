"""Real pictures, for an adversary: captioned ones of a folder or a table, as latents.

Of each the middle square is made as large as the model's pictures. They are read and encoded a few
at a time, once, then cached. Knows nothing of who learns from them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sdxs.picture import read_picture, to_rgb
from sdxs.train.parts.autoencoders import Autoencoder, encoded
from sdxs.train.parts.cache import cached
from sdxs.train.parts.folder import captioned, square
from sdxs.train.parts.prompts import Table
from sdxs.train.run import loop
from sdxs.train.run.machine import DEVICE

HELP = (
    "captioned pictures that are real in the place of renders, of each the middle square: a folder "
    "with metadata.jsonl, or NAME.txt beside NAME.png; or FILE.parquet or the name of a data set, "
    "NAME[@REVISION], then [:FIELD], that of the captions"
)
FEW, MANY = 16, 1000  # pictures that are read at a time; whose sizes are


@dataclass(frozen=True)
class Source:
    """Captioned pictures, none of them read yet.

    fingerprint: tells them from others, by captions and by how large the files are.
    """

    captions: list[str]
    fingerprint: str
    read: Callable[[int], Image.Image]


@dataclass(frozen=True)
class Real:
    """Some of them: their places in the set, latents (B, 4, h, w), and what is said of them."""

    index: Tensor
    real: Tensor
    texts: list[str]


@dataclass(frozen=True)
class RealPictures:
    """All of a source, latents (N, 4, h, w) float16; the seconds that they took; what a stage
    records of them."""

    latents: Tensor
    captions: list[str]
    seconds: float
    facts: dict[str, Any]

    def draw(self, count: int, generator: torch.Generator) -> Real:
        """Some at random."""
        index = torch.randint(len(self.captions), (count,), generator=generator)
        texts = [self.captions[place] for place in index.tolist()]
        return Real(index, self.latents[index].float().to(DEVICE), texts)


def open_pictures(source: str) -> Source:
    """By what a person wrote, as `HELP` has it. Raises TrainingError."""
    return _of_folder(Path(source)) if Path(source).is_dir() else _of_table(source)


def _of_folder(folder: Path) -> Source:
    pictures, digest = captioned(folder), hashlib.sha256()
    for path, caption in pictures:
        digest.update(f"{path.name}\0{path.stat().st_size}\0{caption}\0".encode())
    captions = [caption for _, caption in pictures]

    def read(place: int) -> Image.Image:
        return read_picture(pictures[place][0])

    return Source(captions, digest.hexdigest()[:16], read)


def _of_table(source: str) -> Source:
    try:
        table = Table(source)
    except loop.TrainingError as error:
        raise loop.TrainingError(f"there is no folder {source}, and as a table: {error}") from None
    from datasets import Image as Encoded
    from pyarrow import compute

    kinds = table.whole.features
    fields = [name for name, kind in kinds.items() if isinstance(kind, Encoded)]
    if len(fields) != 1:
        raise loop.TrainingError(
            f"{source} has {len(fields)} fields of pictures, {', '.join(kinds)}: one is needed"
        )
    (field,) = fields
    rows = table.whole.cast_column(field, Encoded(decode=False))
    digest = hashlib.sha256(table.facts["fingerprint"].encode())
    for few in rows.with_format("arrow").iter(MANY):
        held, named = (compute.struct_field(few[field], part) for part in ("bytes", "path"))
        both = zip(compute.binary_length(held).to_pylist(), named.to_pylist(), strict=True)
        sizes = [Path(path).stat().st_size if size is None else size for size, path in both]
        digest.update(f"{sizes}".encode())

    def read(place: int) -> Image.Image:
        found = rows[place][field]
        return read_picture(found["bytes"] or Path(found["path"]))

    return Source([text.strip() for text in table.rows[table.field]], digest.hexdigest()[:16], read)


def encode_pictures(run: Path, vae: Autoencoder, source: str, resolution: int) -> RealPictures:
    """Read and encode a source's pictures, or read their latents from `run` if that was done.

    Raises what `open_pictures` raises; InputError for what is no picture.
    """
    pictures = open_pictures(source)
    count = len(pictures.captions)
    told = {"fingerprint": pictures.fingerprint, "count": count}
    about = {**told, "encoder": loop.fingerprint(vae.network), "resolution": resolution}

    def make() -> dict[str, Tensor]:
        encoder, parts = vae.placed(), []
        with tqdm(total=count, desc="real pictures", dynamic_ncols=True) as bar:
            for first in range(0, count, FEW):
                places = range(first, min(first + FEW, count))
                pixels = [square(to_rgb(pictures.read(place)), resolution) for place in places]
                parts.append(encoded(encoder, torch.stack(pixels)).half())
                bar.update(len(pixels))
        return {"latents": torch.cat(parts)}

    data, seconds = cached(run, "real", about, make)
    facts = {"real": told, "encoder_of_real": about["encoder"]}
    return RealPictures(data["latents"], pictures.captions, seconds, facts)
