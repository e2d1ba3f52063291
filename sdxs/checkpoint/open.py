"""The one door of this wing: from what a person calls a checkpoint to all that a model needs.

`open_checkpoint` finds, reads and checks it, with the styles and controls that are asked for.
Knows nothing of how pictures are made.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sdxs.arguments import Offer
from sdxs.checkpoint.checker import open_checker
from sdxs.checkpoint.depth import load_depth
from sdxs.checkpoint.files import adapter_files, checkpoint_files
from sdxs.checkpoint.find import Source, all_of, find, find_depth, resolve
from sdxs.checkpoint.lora_file import read_style
from sdxs.checkpoint.networks import load_control
from sdxs.checkpoint.parts import load_parts
from sdxs.checkpoint.tensors import read_json
from sdxs.errors import CheckpointError, InputError, shown
from sdxs.model.depth import DepthEstimator
from sdxs.model.engine import Networks
from sdxs.model.safety import SafetyChecker
from sdxs.model.schedule import OneStep
from sdxs.model.tokens import PromptReaders

log = logging.getLogger(__name__)

ALL = "all"  # styles or controls that there are
WORDS, CALIBRATION = "words.json", "calibration.txt"  # beside the weights
Wanted = str | Sequence[str] | Mapping[str, str] | None


@dataclass(frozen=True)
class Places:
    """Where a checkpoint's networks lie: its folder; a file or a folder of each style and control,
    by name."""

    folder: Path
    styles: Mapping[str, Path]
    controls: Mapping[str, Path]

    def only(self, styles: Sequence[str], controls: Sequence[str]) -> "Places":
        """With no styles and controls but these."""
        return Places(
            self.folder,
            {name: self.styles[name] for name in styles},
            {name: self.controls[name] for name in controls},
        )

    def files(self) -> dict[str, Path]:
        """Every file that is read, by a name that does not say where it lies."""
        found = checkpoint_files(self.folder)
        for kind, places in (("styles", self.styles), ("controls", self.controls)):
            for name, place in places.items():
                files = adapter_files(kind, place).items()
                found |= {f"{kind}/{name}/{part}": file for part, file in files}
        return found

    def read(self, dtype: torch.dtype) -> tuple[Networks, PromptReaders, OneStep]:
        """The networks, on the CPU, all in `dtype`, with what belongs to them. Raises
        CheckpointError."""
        networks, readers, one_step = load_parts(self.folder, dtype)
        targets = {"unet": networks.unet, **networks.text_encoders}
        styles = {name: read_style(place, targets) for name, place in self.styles.items()}
        controls = {
            name: load_control(place, dtype, networks.unet, networks.factor)
            for name, place in self.controls.items()
        }
        return replace(networks, styles=styles, controls=controls), readers, one_step


@dataclass(frozen=True)
class Opened:
    """A checkpoint in memory, its networks on the CPU: what `SDXS` is made of.

    places: where networks, styles and controls were read. words: the phrases that it states it
    understands, heading by heading; {} for any words. checker, safety: who looks at the pictures,
    and what `SDXS.safety` says of it. text_styles: those that change text encoders, too.
    """

    source: Source
    places: Places
    networks: Networks
    readers: PromptReaders
    one_step: OneStep
    offer: Offer
    words: Mapping[str, Sequence[str]]
    checker: SafetyChecker | None
    safety: str
    text_styles: frozenset[str]


def open_checkpoint(
    checkpoint: str | os.PathLike[str],
    *,
    styles: Wanted = None,
    controls: Wanted = None,
    safety: bool | str = "auto",
    device: torch.device,
    dtype: torch.dtype,
) -> Opened:
    """Find a checkpoint and read it, all of it in `dtype`, its safety checker onto `device`.

    For the other arguments, and for what is raised, see `SDXS.load`.
    """
    if safety is not True and safety is not False and safety != "auto":
        raise InputError(f'safety must be True, False or "auto", not {safety!r}')
    wanted_styles, wanted_controls = named("styles", styles), named("controls", controls)
    source = resolve(checkpoint)
    log.info("loading %s", source.name)
    places = Places(
        source.folder,
        dict(_found("styles", wanted_styles, source)),
        dict(_found("controls", wanted_controls, source)),
    )
    networks, readers, one_step = places.read(dtype)
    offer = _offer(source.name, networks)
    words = read_words(source.folder)
    checker, state = open_checker(source, safety, device, dtype)
    heard = frozenset(name for name, parts in networks.styles.items() if set(parts) - {"unet"})
    return Opened(source, places, networks, readers, one_step, offer, words, checker, state, heard)


def _found(what: str, wanted: Mapping[str, Any], source: Source) -> Iterator[tuple[str, Path]]:
    """Name and place of each wanted style or control; "all" alone is for all that there are."""
    if list(wanted.values()) == [ALL]:
        wanted = named(what, all_of(what, source))
    for name, place in wanted.items():
        yield name, find(what, place, source.name)


def named(what: str, value: Any) -> dict[str, Any]:
    """Styles or controls to load, {name: source}: from a name, several, or a mapping."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = dict(value)
    else:
        items = [value] if isinstance(value, str | os.PathLike) else value
        if not isinstance(items, Sequence):
            items = [None]
        pairs = {os.fspath(item) if _named(item) else "": item for item in items}
    for name, source in pairs.items():
        if not isinstance(name, str) or not name or not _named(source):
            raise InputError(
                f"{what} must be a name, a list of names, or {{name: source}}, not {shown(value)}"
            )
    return pairs


def _named(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


def _offer(name: str, networks: Networks) -> Offer:
    config: Any = networks.unet.config
    factor = networks.factor
    height, width = networks.size
    return Offer(
        checkpoint=name,
        size=(width * factor, height * factor),
        multiple=factor * 2 ** (len(config.down_block_types) - 1),
        decoders=tuple(networks.decoders),
        styles=tuple(networks.styles),
        controls=tuple(networks.controls),
        channels=config.in_channels,
        factor=factor,
    )


def open_depth(checkpoint: str, device: torch.device) -> DepthEstimator:
    """The network that sees depth for a checkpoint of this name. Raises CheckpointError."""
    return load_depth(find_depth(checkpoint), device)


def read_words(folder: Path) -> dict[str, list[str]]:
    """The phrases that a checkpoint states it understands, heading by heading; {} for any words."""
    if not (folder / WORDS).is_file():
        return {}
    words = read_json(folder / WORDS)
    for phrases in words.values():
        if not isinstance(phrases, list) or not all(isinstance(text, str) for text in phrases):
            raise CheckpointError(f"{folder / WORDS}: a heading needs a list of phrases")
    return words
