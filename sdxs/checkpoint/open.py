"""The one door of this wing: from what a person calls a checkpoint to all that a model needs.

`open_checkpoint` finds, reads and checks it, with the styles and controls that are asked for; or
leaves the networks where they lie, if what else there is to know of them is remembered. Knows
nothing of how pictures are made, and imports what builds networks only to build them.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sdxs.arguments import Offer
from sdxs.checkpoint.files import adapter_files, checkpoint_files
from sdxs.checkpoint.find import all_of, find, find_depth, resolve
from sdxs.checkpoint.words import read_dictionary, read_words
from sdxs.config import EMBEDDED
from sdxs.errors import InputError
from sdxs.model.engine import Networks
from sdxs.model.safety import SafetyChecker
from sdxs.model.schedule import LinearStep, OneStep
from sdxs.sources import ALL, Dictionary, Source, Wanted, named
from sdxs.tokens import PromptReaders

if TYPE_CHECKING:
    from sdxs.model.depth import DepthEstimator

log = logging.getLogger(__name__)

WORDS, DICTIONARY = "words.json", "dictionary.json"  # beside the weights
CALIBRATION = "calibration.txt"


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

    def read(
        self, dtype: torch.dtype, decoders: torch.dtype | None = None
    ) -> tuple[Networks, PromptReaders, OneStep]:
        """The networks, on the CPU, all in `dtype`, or the decoders in one of their own, with what
        belongs to them. Raises CheckpointError."""
        from sdxs.checkpoint.lora_file import read_style
        from sdxs.checkpoint.networks import load_control
        from sdxs.checkpoint.parts import load_parts

        networks, readers, one_step = load_parts(self.folder, dtype)
        if decoders not in (None, dtype):
            networks = networks.decoding_in(decoders)
        targets = {"unet": networks.unet, **networks.text_encoders}
        styles = {name: read_style(place, targets) for name, place in self.styles.items()}
        controls = {
            name: load_control(place, dtype, networks.unet, networks.factor)
            for name, place in self.controls.items()
        }
        return replace(networks, styles=styles, controls=controls), readers, one_step


class Parts:
    """What `Places.read` gives, read when it is first needed. Any number of threads may ask."""

    def __init__(self, read: Callable[[], tuple[Networks, PromptReaders, OneStep]]) -> None:
        self._read = read
        self._found: tuple[Networks, PromptReaders, OneStep] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> tuple[Networks, PromptReaders, OneStep]:
        with self._lock:
            if self._found is None:
                self._found = self._read()
            return self._found

    @property
    def loaded(self) -> bool:
        """Whether they are in memory."""
        return self._found is not None


@dataclass(frozen=True)
class Facts:
    """What there is to know of networks beside the networks. step: None where it is not linear.
    text_styles: those that change text encoders, too. doubt: see `OneStep.doubt`."""

    offer: Offer
    readers: PromptReaders
    step: LinearStep | None
    text_styles: frozenset[str]
    doubt: str = ""


@dataclass(frozen=True)
class Opened:
    """A checkpoint: what `SDXS` is made of.

    places: where networks, styles and controls lie. words: the phrases that it states it
    understands, heading by heading; {} for any words. dictionary: words beside these. checker,
    safety: who looks at the pictures, and what `SDXS.safety` says of it.
    """

    source: Source
    places: Places
    facts: Facts
    words: Mapping[str, Sequence[str]]
    dictionary: Dictionary
    checker: SafetyChecker | None
    safety: str
    parts: Parts

    @property
    def networks(self) -> Networks:
        """On the CPU. Raises CheckpointError."""
        return self.parts()[0]

    @property
    def one_step(self) -> OneStep:
        return self.parts()[2]


def open_checkpoint(
    checkpoint: str | os.PathLike[str],
    *,
    styles: Wanted = None,
    controls: Wanted = None,
    safety: bool | str = "auto",
    device: torch.device,
    dtype: torch.dtype,
    decoders: torch.dtype | None = None,
    recall: Callable[[Places], Facts | None] = lambda places: None,
) -> Opened:
    """Find a checkpoint and read it, all of it in `dtype`, or its decoders in one of their own, its
    safety checker onto `device`.

    recall: what is remembered of the very same files; then networks are read when they are needed.
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
    parts = Parts(functools.partial(places.read, dtype, decoders))
    facts = recall(places) or _facts(*parts())
    facts = replace(facts, offer=replace(facts.offer, checkpoint=source.name))
    if facts.doubt:
        log.warning("%s: %s", source.name, facts.doubt)
    words = read_words(source.folder / WORDS)
    dictionary = read_dictionary(source.folder / DICTIONARY)
    checker, state = _checker(source, safety, device, dtype)
    return Opened(source, places, facts, words, dictionary, checker, state, parts)


def _checker(
    source: Source, asked: bool | str, device: torch.device, dtype: torch.dtype
) -> tuple[SafetyChecker | None, str]:
    """The safety checker that is asked for, or None, and what `SDXS.safety` says of it."""
    if source.name == EMBEDDED and source.kind == "named":
        log.info("no safety checker: %s can only draw its own harmless world", source.name)
        return None, "needless"
    if asked is False:
        log.warning("the safety checker is off: pictures are shown as they come")
        return None, "off"
    from sdxs.checkpoint.checker import open_checker

    return open_checker(source, asked is True, device, dtype)


def _found(what: str, wanted: Mapping[str, Any], source: Source) -> Iterator[tuple[str, Path]]:
    """Name and place of each wanted style or control; "all" alone is for all that there are."""
    if list(wanted.values()) == [ALL]:
        wanted = named(what, all_of(what, source))
    for name, place in wanted.items():
        yield name, find(what, place, source.name)


def _facts(networks: Networks, readers: PromptReaders, one_step: OneStep) -> Facts:
    config: Any = networks.unet.config
    factor = networks.factor
    height, width = networks.size
    offer = Offer(
        checkpoint="",
        size=(width * factor, height * factor),
        multiple=factor * 2 ** (len(config.down_block_types) - 1),
        decoders=tuple(networks.decoders),
        styles=tuple(networks.styles),
        controls=tuple(networks.controls),
        channels=config.in_channels,
        factor=factor,
    )
    heard = frozenset(name for name, parts in networks.styles.items() if set(parts) - {"unet"})
    return Facts(offer, readers, one_step.linear(), heard, one_step.doubt)


def open_depth(checkpoint: str, device: torch.device) -> "DepthEstimator":
    """The network that sees depth for a checkpoint of this name. Raises CheckpointError."""
    from sdxs.checkpoint.depth import load_depth

    return load_depth(find_depth(checkpoint), device)
