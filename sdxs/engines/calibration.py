"""What int8 is calibrated on: prompts of a checkpoint, and what its graphs are given for them.

They lie beside the weights as `calibration.txt`, a prompt a line, or in the cache, where
`python -m sdxs.engines.calibrate` puts them. Knows nothing of what quantizes.
"""

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sdxs.checkpoint.open import CALIBRATION, Places
from sdxs.conditions import from_photo
from sdxs.engines import cache
from sdxs.errors import InputError, NothingToFollow
from sdxs.model.controls import Control, control_image
from sdxs.model.eager import EagerEngine, size_ids
from sdxs.model.graph import Inputs, Spec, paint_inputs
from sdxs.model.schedule import draw_noise, seeded
from sdxs.picture import pictures_of
from sdxs.tokens import PromptReaders

FEWEST, MOST = 8, 64  # prompts
SCALES = (1.0, 0.5, 0.0, 1.0)  # of styles and controls, sample by sample
DRAWINGS = 8  # control images that are made


def read_prompts(file: Path) -> tuple[str, ...]:
    """The first prompts of a file, a line each. Raises InputError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the prompts in {file} cannot be read: {error}") from None
    prompts = tuple(islice((line.strip() for line in lines if line.strip()), MOST))
    if len(prompts) < FEWEST:
        raise InputError(f"{file} has {len(prompts)} prompts: at least {FEWEST} are needed")
    return prompts


def kept_at(places: Places) -> Path:
    """Where a checkpoint's prompts lie, or would lie. Raises OSError."""
    beside = places.folder / CALIBRATION
    if beside.is_file():
        return beside
    weights = cache.fingerprint(places.only((), ()).files())
    return cache.cache_folder() / "calibration" / f"{weights}.txt"


def prompts_of(places: Places, name: str) -> tuple[str, ...]:
    """A checkpoint's prompts. Raises InputError where it has none."""
    file = kept_at(places)
    if not file.is_file():
        raise InputError(
            f"{name} is not calibrated for 8-bit integers: "
            f"python -m sdxs.engines.calibrate {shlex.quote(name)} --prompts FILE"
        )
    return read_prompts(file)


def samples(
    engine: EagerEngine,
    readers: PromptReaders,
    spec: Spec,
    prompts: Sequence[str],
    sides: tuple[int, int],
) -> Iterator[Inputs]:
    """What a `PaintGraph` is given for each prompt, one row each; sides: of the latents (h, w).

    A control follows the outlines of what the model itself paints of the prompt.
    """
    channels, factor = engine.networks.unet.config.in_channels, engine.networks.factor
    drawings: list[Tensor] = []
    for i, prompt in enumerate(prompts):
        scale = torch.full((1,), SCALES[i % len(SCALES)])
        styles = dict.fromkeys(spec.styles, scale)
        words = engine.encode(readers.ids([prompt]), styles)
        noise = draw_noise(seeded([i]), (channels, *sides))
        if spec.controls and len(drawings) < DRAWINGS:
            drawings.append(outlines(engine.paint(noise, words, styles, [], spec.decoder)))
        controls = [Control(name, None, drawings[i % DRAWINGS], scale) for name in spec.controls]
        yield paint_inputs(spec, noise, words, size_ids(noise, factor), styles, controls, factor)


def outlines(pixels: Tensor) -> Tensor:
    """A control image (1, 3, H, W) in [0, 1] of a picture (1, H, W, 3), uint8: what a hand would
    draw of it, white on black; black where there is nothing to draw."""
    (picture,) = pictures_of(pixels)
    try:
        lines = from_photo(picture, picture.size)
    except NothingToFollow:
        lines = Image.new("RGB", picture.size)
    return control_image(lines, picture.size)[None]
