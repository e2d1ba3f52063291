"""What several stages hold alike: a model, what it is shown and read by, what supervises it.

On the meta device, of settings alone. Knows nothing of bytes: `footprint`.
"""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from sdxs.train.parts import adversary, blueprints
from sdxs.train.parts.blueprints import built, put, put_words, unet
from sdxs.train.parts.footprint import Held, frozen, learns
from sdxs.train.parts.reading import Reader
from sdxs.train.parts.shared import Head
from sdxs.train.parts.shown import PATCH
from sdxs.train.run import stage

Networks = Iterator[Held]


def own(command: str, name: str) -> Any:
    """What a command has for itself."""
    return getattr(importlib.import_module(f"sdxs.train.{command}"), name)


def model(folder: Path, text: Path | None = None) -> Networks:
    """A frozen U-Net and what reads its prompts."""
    yield frozen("unet", unet(folder))
    yield from words(text or folder)


def beside(asked: Any) -> Networks:
    """What makes pictures of latents, and what sees depth in them, where they are named."""
    for name, read in (("autoencoder", blueprints.autoencoder), ("depth", blueprints.sight)):
        if folder := getattr(asked, name, None):
            yield frozen(name, read(folder))


def words(folder: Path) -> Networks:
    """What reads prompts."""
    yield from (frozen(*each) for each in blueprints.text_encoders(folder).items())


def left(run: Path, network: Any, other: Path) -> None:
    """What a stage leaves: a U-Net, and the text encoders of another folder."""
    put(run, "unet", network)
    put_words(other, run)


def reads(folder: Path) -> Networks:
    """A finished reader."""
    made = stage.read(folder)
    yield frozen("reader", built(Reader, made["width"], PATCH if made.get("shown") else 4))
    if made.get("shown"):
        yield frozen("decoder", blueprints.autoencoder(folder).decoder)


def supervised(asked: Any, heard: Path, online: nn.Module | None) -> Networks:
    """The adversary and the readers of a stage that has them."""
    for folder in asked.reader:
        yield from reads(folder)
    if not asked.adversary:
        return
    kind, said = asked.discriminator, blueprints.width_of_text(heard)
    sizes: Any = online.config["block_out_channels"] if online is not None else ()
    if kind == "reader":
        sizes = built(Reader, stage.read(asked.reader[0])["width"], 4).sizes
    own_one = adversary.Discriminator, unet(heard).config["cross_attention_dim"], 96, said
    on_features = adversary.FeatureDiscriminator, None, tuple(sizes), said
    given: Any = {"apart": own_one, "dmd2": (Head, *sizes[-1:])}.get(kind, on_features)
    yield learns("discriminator", built(*given))
