"""The data of the latent stages: encoded renders, or a folder's pictures, and their captions."""

import argparse
import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.world.artists import ARTISTS, redraw
from sdxs.storybook.world.captions import as_typed, describe
from sdxs.storybook.world.scenes import COLOURS, THINGS, Scene, sample_scenes
from sdxs.train.parts.autoencoders import Autoencoder, encoded, read_autoencoder
from sdxs.train.parts.cache import cached
from sdxs.train.parts.folder import fingerprint, read_folder
from sdxs.train.parts.models import FACTOR
from sdxs.train.parts.pairs import Latents, Pairs
from sdxs.train.parts.renders import rendered
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import TrainingOptions, option

CHUNK = 32
LABELS = [len(THINGS) + 1, len(COLOURS) + 1]  # every kind and none; every colour and none
DATA = "captioned pictures, as `style` takes them, in the place of the storybook's"
EMPTY = 0.1  # share of captions left empty where a model is to learn classifier-free guidance


class LatentOptions(TrainingOptions):
    """What a stage is asked that trains on latents: of renders, or painted ones."""

    autoencoder: Path | None = stage.takes(
        "whose latents are painted (default: runs/autoencoder, where one is needed)", "autoencoder"
    )
    pairs: Path | None = stage.takes(
        "learn from what a multi-step model painted of prompts, not from renders", "pairs"
    )
    pictures: int = option()

    def data(self, resolution: int) -> "LatentSet | Painted":
        """Latents to learn from. Raises TrainingError, CheckpointError."""
        if self.pairs is not None:
            return Painted(Pairs(self.pairs, side=resolution))
        vae = read_autoencoder(self._autoencoder)
        return encode_scenes(self.run, vae, self.pictures, self.seed, resolution)

    def decoder(self) -> Autoencoder:
        """What shows them. Raises CheckpointError."""
        return Autoencoder.load(self._autoencoder)

    @property
    def _autoencoder(self) -> Path:
        if self.autoencoder is not None:
            return self.autoencoder
        try:
            return stage.finished_by("autoencoder")("runs/autoencoder")
        except argparse.ArgumentTypeError as error:
            raise loop.TrainingError(f"--autoencoder: {error}") from None


@dataclass
class LatentSet:
    """Scenes with their latents, (N, 4, h, w) float16. Captions are made anew each time.

    seen: (N, 2, h / 2, w / 2) uint8, of each cell the share in which thing i is seen, times 255.
    seconds: how long it took to make them. encoder: the fingerprint of what encoded them.
    """

    scenes: list[Scene]
    latents: Tensor
    seen: Tensor
    seconds: float = 0.0
    encoder: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """What a stage records of them."""
        return {"encoder": self.encoder}

    def __post_init__(self) -> None:
        things = [scene.things for scene in self.scenes]
        self.kinds = torch.tensor([_two(THINGS.index(t.kind) for t in two) for two in things])
        self.colours = torch.tensor([_two(COLOURS.index(t.colour) for t in two) for two in things])

    def batch(
        self, count: int, generator: torch.Generator, *, empty: float = 0.0
    ) -> tuple[Tensor, list[str], Tensor]:
        """Random latents (count, 4, h, w) float32, a caption of each, and where its things stand.

        The last: of each cell the share of every kind and of every colour of thing, as in `shares`.
        empty: share of the captions that are left empty.
        """
        return self.at(self.rows(count, generator), generator, empty=empty)

    def rows(self, count: int, generator: torch.Generator) -> Tensor:
        """Random places in the set, (count,)."""
        return torch.randint(len(self.scenes), (count,), generator=generator)

    def at(
        self, index: Tensor, generator: torch.Generator, *, empty: float = 0.0
    ) -> tuple[Tensor, list[str], Tensor]:
        """What `batch` gives, of chosen places."""
        rng = loop.plain(generator)
        texts = [as_typed(describe(self.scenes[i], rng).text, rng) for i in index.tolist()]
        texts = left_out(texts, empty, generator)
        seen = self.seen[index].float() / 255
        parts = [
            shares(seen, names[index], count)
            for names, count in ((self.kinds, len(THINGS)), (self.colours, len(COLOURS)))
        ]
        return self.latents[index].float(), texts, torch.cat(parts, 1)


@dataclass(frozen=True)
class Painted:
    """What a multi-step model painted, as stages learn from it: `LatentSet`'s own ways."""

    pairs: Pairs
    seconds: float = 0.0  # they were made by a stage of their own

    @property
    def latents(self) -> Latents:
        return self.pairs.latents

    @property
    def facts(self) -> dict[str, Any]:
        return self.pairs.facts

    def rows(self, count: int, generator: torch.Generator) -> Tensor:
        return self.pairs.rows(count, generator)

    def batch(
        self, count: int, generator: torch.Generator, *, empty: float = 0.0
    ) -> tuple[Tensor, list[str]]:
        return self.at(self.rows(count, generator), generator, empty=empty)

    def at(
        self, index: Tensor, generator: torch.Generator, *, empty: float = 0.0
    ) -> tuple[Tensor, list[str]]:
        _, latents, texts = self.pairs.at(index)
        return latents, left_out(texts, empty, generator)


@dataclass(frozen=True)
class Pictures:
    """A folder's pictures as latents (N, 4, h, w) float32, and their captions."""

    latents: Tensor
    captions: list[str]
    facts: dict[str, Any]
    seconds: float = 0.0  # they are encoded each time

    def batch(
        self, count: int, generator: torch.Generator, *, empty: float = 0.0
    ) -> tuple[Tensor, list[str]]:
        """Random latents (count, 4, h, w) float32 and their captions, a share of them empty."""
        index = torch.randint(len(self.latents), (count,), generator=generator)
        texts = [self.captions[row] for row in index.tolist()]
        return self.latents[index], left_out(texts, empty, generator)


def encode_pictures(folder: Path, vae: AutoencoderTiny, resolution: int) -> Pictures:
    """Read and encode a folder's pictures, the middle square of each. Raises TrainingError,
    InputError."""
    pictures, captions = read_folder(folder, resolution)
    facts = {
        "encoder": loop.fingerprint(vae.encoder),
        "pictures": len(captions),
        "data": fingerprint(pictures, captions),
    }
    network = Autoencoder(copy.deepcopy(vae)).placed()
    return Pictures(encoded(network, pictures), captions, facts)


def left_out(texts: list[str], share: float, generator: torch.Generator) -> list[str]:
    """The captions, a share of them empty, so that guidance can be learnt."""
    if not share:
        return texts
    left = (torch.rand(len(texts), generator=generator) < share).tolist()
    return ["" if out else text for out, text in zip(left, texts, strict=True)]


def _two(numbers: Iterable[int]) -> list[int]:
    """One number per thing; a second thing that is not there is seen nowhere, so any will do."""
    return [*numbers, 0][:2]


def shares(seen: Tensor, names: Tensor, count: int) -> Tensor:
    """Where each of `count` names is seen, and last where none is: (B, count + 1, h, w), sum 1.

    seen: (B, 2, h, w) in [0, 1]. names: (B, 2), of thing 0 and thing 1.
    """
    out = seen.new_zeros(len(seen), count + 1, *seen.shape[2:])
    for slot in (0, 1):
        rows = names[:, slot, None, None, None].expand(-1, 1, *seen.shape[2:])
        out.scatter_add_(1, rows, seen[:, slot : slot + 1])
    out[:, -1] = (1 - seen.sum(1)).clamp(min=0)
    return out


@torch.no_grad()
def encode_scenes(
    folder: Path, vae: AutoencoderTiny, count: int, seed: int, resolution: int,
    artist: str | None = None,
) -> LatentSet:  # fmt: skip
    """Render and encode `count` scenes, or read them from `folder` if that was done before.

    artist: the name of who redraws them, one of ARTISTS.
    """
    scenes = sample_scenes(count, seed)

    def make() -> dict[str, Tensor]:
        encoder = placed(copy.deepcopy(vae.encoder))
        parts, masks = [], []
        for drawn in rendered(scenes, resolution, "latents", CHUNK, DEVICE):
            picture = redraw(drawn, ARTISTS[artist] if artist else None)
            with fast():
                z = encoder(placed(picture))
            parts.append(z.cpu().contiguous().half())
            masks.append((F.avg_pool2d(drawn.seen, 2 * FACTOR) * 255).round().byte().cpu())
        return {"latents": torch.cat(parts), "seen": torch.cat(masks)}

    about: dict[str, Any] = {"count": count, "seed": seed, "resolution": resolution}
    about["encoder"] = loop.fingerprint(vae.encoder)
    data, seconds = cached(folder, f"latents-{artist}" if artist else "latents", about, make)
    return LatentSet(scenes, **data, seconds=seconds, encoder=about["encoder"])
