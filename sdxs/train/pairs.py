"""Noise-picture pairs from the teacher: the warm-up's data, made from prompts alone.

Chunk k depends on (seed, k) only and is written whole or not at all, so the command resumes.
"""

import argparse
import json
import os
import random
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from sdxs.storybook.captions import as_typed, describe
from sdxs.storybook.scenes import sample_scene
from sdxs.train import loop
from sdxs.train.solver import Teacher

CHUNK = 64


def prompts_of(seed: int, chunk: int) -> list[str]:
    """The prompts of a chunk; those of the composition test never occur."""
    return draw_prompts(random.Random(f"{seed}/{chunk}"), CHUNK)


def draw_prompts(rng: random.Random, count: int) -> list[str]:
    """Prompts of scenes as training may see them, written as people type."""
    return [as_typed(describe(sample_scene(rng), rng).text, rng) for _ in range(count)]


def make(run: Path, *, teacher: Path, count: int, steps: int, guidance: float, seed: int) -> None:
    model = Teacher.load(teacher)
    side, channels = model.unet.config["sample_size"], model.unet.config["in_channels"]
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        "steps": steps,
        "guidance": guidance,
        "seed": seed,
        "teacher": loop.fingerprint(model.unet),
    }
    about = run / "pairs.json"
    if about.exists() and json.loads(about.read_text()) != settings:
        raise loop.TrainingError(f"{run} holds pairs of other settings: {about.read_text()}")
    about.write_text(json.dumps(settings))
    for chunk in tqdm(
        range(-(-count // CHUNK)),
        desc="pairs",
        unit=f"{CHUNK} pairs",
        dynamic_ncols=True,
        mininterval=2,
    ):
        path = run / f"chunk-{chunk:05d}.safetensors"
        if path.exists():
            continue
        noise = torch.randn(CHUNK, channels, side, side, generator=loop.chance(seed, chunk))
        latents = model.sample(prompts_of(seed, chunk), noise, steps, guidance)
        part = path.with_suffix(".part")
        save_file({"noise": noise.half(), "latents": latents.contiguous().half()}, part)
        os.replace(part, path)


class Pairs:
    """Pairs in memory: noise, latents (N, 4, h, w) float16 and N prompts."""

    def __init__(self, run: Path) -> None:
        self.settings = json.loads((run / "pairs.json").read_text())
        seed = self.settings["seed"]
        paths = sorted(run.glob("chunk-*.safetensors"))
        if not paths:
            raise loop.TrainingError(f"no pairs in {run}: run python -m sdxs.train.pairs first")
        chunks = [load_file(path) for path in paths]
        self.noise = torch.cat([chunk["noise"] for chunk in chunks])
        self.latents = torch.cat([chunk["latents"] for chunk in chunks])
        self.prompts = [text for k in range(len(paths)) for text in prompts_of(seed, k)]

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Random noise and latents, (count, 4, h, w) float32 each, and their prompts."""
        rows = torch.randint(len(self.prompts), (count,), generator=generator)
        texts = [self.prompts[row] for row in rows.tolist()]
        return self.noise[rows].float(), self.latents[rows].float(), texts


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/pairs"), help="folder for the pairs")
    parser.add_argument("--teacher", type=loop.made_by("teacher"), default="runs/teacher")
    parser.add_argument("--count", type=int, default=4096)
    parser.add_argument(
        "--steps", type=int, default=12, help="evaluations of the teacher a picture"
    )
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=3)
    options = vars(parser.parse_args(arguments))
    make(options.pop("run"), **options)


if __name__ == "__main__":
    loop.command(main)
