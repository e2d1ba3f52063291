"""The data of the latent stages: encoded renders and their captions, made once, then cached."""

import json
import random
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from sdxs.storybook.captions import as_typed, describe
from sdxs.storybook.render import render
from sdxs.storybook.scenes import Scene, sample_scenes
from sdxs.train.loop import fingerprint

CHUNK = 32


def occupied(scene: Scene, side: int) -> Tensor:
    """Which cells of a picture of `side` x `side` cells lie in a thing's box, (1, side, side)."""
    centre = (torch.arange(side) + 0.5) / side
    cells = torch.zeros(1, side, side, dtype=torch.bool)
    for thing in scene.things:
        across = (centre - thing.x).abs() <= thing.height / 2
        down = (centre <= thing.y) & (centre >= thing.y - thing.height)
        cells |= down[:, None] & across[None, :]
    return cells


class LatentSet:
    """Scenes with their latents, (N, 4, h, w) float16. Captions are made anew each time."""

    def __init__(self, scenes: list[Scene], latents: Tensor) -> None:
        self.scenes = scenes
        self.latents = latents

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
        """Random latents (count, 4, h, w) float32, a caption of each, and where its things stand.

        The last is (count, 1, h, w) bool: the boxes of the things.
        """
        index = torch.randint(len(self.scenes), (count,), generator=generator)
        rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
        texts = [as_typed(describe(self.scenes[i], rng).text, rng) for i in index.tolist()]
        side = self.latents.shape[-1]
        boxes = torch.stack([occupied(self.scenes[i], side) for i in index.tolist()])
        return self.latents[index].float(), texts, boxes


@torch.no_grad()
def encode_scenes(
    folder: Path, vae: AutoencoderTiny, count: int, seed: int, resolution: int
) -> LatentSet:
    """Render and encode `count` scenes, or read them from `folder` if that was done before."""
    scenes = sample_scenes(count, seed)
    path, note = folder / "latents.safetensors", folder / "latents.json"
    about = {"count": count, "seed": seed, "resolution": resolution, "vae": fingerprint(vae)}
    if path.exists() and note.exists() and json.loads(note.read_text()) == about:
        return LatentSet(scenes, load_file(path)["latents"])
    folder.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    vae = vae.to(memory_format=torch.channels_last)
    parts = []
    for i in tqdm(range(0, count, CHUNK), desc="latents", dynamic_ncols=True, mininterval=2):
        picture = render(scenes[i : i + CHUNK], resolution).picture
        with torch.autocast("cpu", torch.bfloat16):
            z = vae.encoder(picture.to(memory_format=torch.channels_last))
        parts.append(z.contiguous().half())
    latents = torch.cat(parts)
    save_file({"latents": latents}, path)
    note.write_text(json.dumps(about))  # last: it says that the file is whole
    return LatentSet(scenes, latents)
