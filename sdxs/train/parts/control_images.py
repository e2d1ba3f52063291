"""Control images of latents, made once for a stage, kept in a file: what its control is to follow.

The paper extracts them from pictures of the multi-step model; here they come of whatever the
latents show when decoded, with all the decoder's flaws, as they will at work.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sdxs.checkpoint.depth import load_depth
from sdxs.conditions import CONDITIONS
from sdxs.errors import InputError, blaming
from sdxs.model.depth import DepthEstimator
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import Scene
from sdxs.storybook.world.sketches import BUSY, begun, sketch, to_bytes
from sdxs.train.parts.autoencoders import Autoencoder
from sdxs.train.parts.cache import written
from sdxs.train.parts.pairs import Latents
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed

Bytes = NDArray[np.uint8]
Extract = Callable[[Bytes, random.Random], Bytes]  # picture (H, W, 3) -> control image (H, W)
CHUNK = 64


@dataclass(frozen=True)
class ControlImages:
    """Control images (N, H, W) uint8, mapped from their file; the depth network that saw them, ""
    for none; the seconds."""

    images: Tensor
    by: str
    seconds: float


def depth_network(control: str, depth: Path | None, *others: Path) -> DepthEstimator | None:
    """What sees depth for a control, None for one that is not about depth.

    depth: the folder of a finished `sdxs.train.depth`, or a network of somebody else's. others:
    controls that must have been made with the same, where it is known what they were made with.
    Raises TrainingError, CheckpointError.
    """
    if not CONDITIONS[control].sees_depth:
        return None
    if depth is None:
        raise loop.TrainingError(
            f"a {control} control needs --depth, what sdxs.train.depth leaves behind"
        )
    if not stage.ours(depth):
        found = load_depth(depth, DEVICE)
        with blaming(f"{depth} cannot see depth"):
            found(Image.new("RGB", (64, 64)))
    elif stage.read(depth)["kind"] != "network":
        raise loop.TrainingError(f"{depth} is a judge, which makes no control images")
    else:
        found = load_depth(depth / "depth", DEVICE)
    for other in filter(stage.ours, others):
        if stage.read(other)["drawn_by"] != loop.fingerprint(found.network):
            raise loop.TrainingError(f"{other} was made with another network than {depth}")
    return found


def extractor(control: str, sees_depth: DepthEstimator | None = None) -> Extract:
    """How a control's images are made of pictures."""
    if control == "sketch":
        return sketch
    row = CONDITIONS[control]
    options = {"network": sees_depth} if row.sees_depth else {}

    def made(picture: Bytes, _: random.Random) -> Bytes:
        high, wide = picture.shape[:2]
        try:
            seen = row.make(Image.fromarray(picture), (wide, high), **options)
        except InputError:  # there is nothing in it to follow
            return np.zeros((high, wide), np.uint8)
        return np.asarray(seen)[..., 0]

    return made


@torch.no_grad()
def control_images(
    folder: Path,
    control: str,
    latents: Tensor | Latents,
    vae: Autoencoder,
    seed: int,
    sees_depth: DepthEstimator | None = None,
    scenes: Sequence[Scene] = (),
) -> ControlImages:
    """Of latents (N, 4, h, w), made now or read from `folder`.

    sees_depth: what `depth_network` found. scenes: what the latents show, where that is known; then
    sketches are also such as people begin them.
    """
    by = loop.fingerprint(sees_depth.network) if sees_depth else ""
    about: dict[str, Any] = {
        "control": control,
        "count": len(latents),
        "seed": seed,
        "decoder": loop.fingerprint(vae.network.decoder),
        "latents": _fingerprint(latents),
        "by": by,
    }

    if control == "sketch" and scenes:
        about["whole"] = BUSY

    def write(part: Path) -> None:
        extract, shown = extractor(control, sees_depth), vae.placed()
        starts = tqdm(range(0, len(latents), CHUNK), control, dynamic_ncols=True, mininterval=2)
        with open(part, "wb") as file:
            for i in starts:
                z = placed(latents[i : i + CHUNK].float())
                with fast():
                    pictures = to_bytes(shown.decode(z))
                if i == 0:
                    shape = (len(latents), *pictures.shape[1:3])
                    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                some = scenes[i : i + CHUNK] if "whole" in about else ()
                seen = render(list(some), pictures.shape[1]).seen.numpy() if some else ()
                for row, picture in enumerate(pictures):
                    rng = random.Random(f"{seed}/{i + row}")
                    if some:
                        made = begun(picture, seen[row], some[row].horizon, rng)
                    else:
                        made = extract(picture, rng)
                    file.write(made.tobytes())

    path = folder / "controls.npy"
    seconds = written(path, about, write)
    mapped = np.load(path, mmap_mode="r+")  # shared: it may be larger than memory
    return ControlImages(torch.from_numpy(mapped), by, seconds)


def _fingerprint(latents: Tensor | Latents) -> str:
    """Tells them from others."""
    digest = hashlib.sha256()
    starts = range(0, len(latents), CHUNK)
    for i in tqdm(starts, "latents", delay=5, dynamic_ncols=True, mininterval=2):
        digest.update(latents[i : i + CHUNK].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
