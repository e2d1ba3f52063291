"""Readers of pictures: what a decoder shows of latents, read cell by cell.

A reward that reads latents teaches them what readers of latents like and no decoder shows; what
these still take for a thing may be none in the picture. A reader that sees the picture does not
take it for one. It differs from a reader of latents in its first layer alone.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.train.parts.annotated import Drawn
from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.cache import cached
from sdxs.train.parts.latents import CHUNK
from sdxs.train.parts.reading import Reader, Reading
from sdxs.train.parts.renders import to_bytes
from sdxs.train.run import loop
from sdxs.train.run.machine import DEVICE, fast, placed

CELL = 8  # pixels of a cell that are read along a side
PATCH = 3 * CELL * CELL  # channels of a cell's pixels
NOISE = 0.15  # the most on the latents of which pictures are made, in their own units


def patches(pictures: Tensor, cells: int) -> Tensor:
    """Pictures (B, 3, s cells, s cells) as cells' pixels, (B, PATCH, cells, cells), s reduced to
    CELL."""
    scale = pictures.shape[-1] // (CELL * cells)
    return F.pixel_unshuffle(F.avg_pool2d(pictures, scale), CELL)


class Shown(nn.Module):
    """A reader of what a frozen decoder shows of latents (B, 4, h, w), to be used like a reader of
    these."""

    looked = 0.1  # the most noise that a reward puts on the latents

    def __init__(self, reader: Reader, decoder: nn.Module) -> None:
        super().__init__()
        self.reader, self.decoder = reader, decoder.requires_grad_(False)

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.reader.sizes

    def seen(self, latents: Tensor) -> Tensor:
        pictures = self.decoder(latents).clamp(-1, 1)
        return patches(pictures, latents.shape[-1]).contiguous(memory_format=torch.channels_last)

    def features(self, latents: Tensor, context: Tensor | None = None) -> list[Tensor]:
        return self.reader.features(self.seen(latents))

    def forward(self, latents: Tensor) -> Reading:
        reading: Reading = self.reader(self.seen(latents))
        return reading


def open_reader(folder: Path) -> Reader | Shown:
    """What `sdxs.train.reader` left, frozen and on the device, of latents or of pictures."""
    reader = Reader.load(folder / "reader")
    if reader.channels != PATCH:
        return placed(reader)
    return placed(Shown(reader, read_autoencoder(folder).decoder))


def pictures_of(
    folder: Path, vae: AutoencoderTiny, drawn: list[Drawn], seed: int
) -> tuple[list[Tensor], float]:
    """What the decoder shows of all latents with a little noise, uint8, made now or read; the
    seconds."""

    @torch.no_grad()
    def make() -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        decoder, out = placed(vae.decoder), []
        latents = torch.cat([part.latents for part in drawn])
        for some in tqdm(latents.split(CHUNK), "pictures", dynamic_ncols=True, mininterval=2):
            z = some.float()
            strength = NOISE * torch.rand(len(z), 1, 1, 1, generator=generator)
            z = z + strength * torch.randn(z.shape, generator=generator)
            with fast():
                shown = decoder(z.to(DEVICE, memory_format=torch.channels_last))
            out.append(to_bytes(shown.float().cpu().contiguous()))
        return {"pictures": torch.cat(out)}

    counts = [len(part.latents) for part in drawn]
    about = {"counts": counts, "seed": seed, "vae": loop.fingerprint(vae)}
    data, seconds = cached(folder, "shown", about, make)
    return list(data["pictures"].split(counts)), seconds
