"""Noise-picture pairs as a folder holds them, and the prompts that go with them."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from sdxs.storybook.world.captions import as_typed, describe
from sdxs.storybook.world.scenes import sample_scene
from sdxs.train.run import loop

CHUNK, ABOUT = 64, "pairs.json"


def prompts_of(seed: int, chunk: int) -> list[str]:
    """The prompts of a chunk; those of the composition test never occur."""
    return draw_prompts(random.Random(f"{seed}/{chunk}"), CHUNK)


def draw_prompts(rng: random.Random, count: int) -> list[str]:
    """Prompts of scenes as training may see them, written as people type."""
    return [as_typed(describe(sample_scene(rng), rng).text, rng) for _ in range(count)]


class Pairs:
    """Pairs in memory: noise, latents (N, 4, h, w) float16 and N prompts.

    guidance: the one that the pictures were painted with.
    """

    def __init__(self, run: Path) -> None:
        paths = sorted(run.glob("chunk-*.safetensors"))
        if not paths:
            raise loop.TrainingError(f"no pairs in {run}: run python -m sdxs.train.pairs first")
        self.settings = json.loads((run / ABOUT).read_text())
        self.guidance: float = self.settings["guidance"] * self.settings.get("within", 1.0)
        seed = self.settings["seed"]
        chunks = [load_file(path) for path in paths]
        self.noise = torch.cat([chunk["noise"] for chunk in chunks])
        self.latents = torch.cat([chunk["latents"] for chunk in chunks])
        self.prompts = [text for k in range(len(paths)) for text in prompts_of(seed, k)]

    @property
    def facts(self) -> dict[str, Any]:
        """What a stage records of the pairs that it learns from."""
        return {"pairs": {**self.settings, "count": len(self.prompts)}}

    def batch(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Random noise and latents, (count, 4, h, w) float32 each, and their prompts."""
        return self.at(self.rows(count, generator))

    def fresh(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        """Noise (count, 4, h, w) and prompts that belong to no pair."""
        texts = draw_prompts(loop.plain(generator), count)
        return torch.randn((count, *self.noise.shape[1:]), generator=generator), texts

    def rows(self, count: int, generator: torch.Generator) -> Tensor:
        """Random places among the pairs, (count,)."""
        return torch.randint(len(self.prompts), (count,), generator=generator)

    def at(self, rows: Tensor) -> tuple[Tensor, Tensor, list[str]]:
        """What `batch` gives, of chosen places."""
        texts = [self.prompts[row] for row in rows.tolist()]
        return self.noise[rows].float(), self.latents[rows].float(), texts
