"""Random weights, tokens and pairs in folders of settings: so that a stage can be measured at full
size where nothing was trained. What it paints then is nothing to look at.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from safetensors.torch import save_file

from sdxs.bench.architectures import SCHEDULE, WINDOW, byte_tokenizer
from sdxs.storybook.world.captions import describe
from sdxs.storybook.world.scenes import sample_scenes
from sdxs.train.parts import blueprints
from sdxs.train.parts.commands import Part
from sdxs.train.parts.holdings import networks_of
from sdxs.train.parts.pairs import ABOUT, CHUNK, chunk_file
from sdxs.train.parts.recipe_file import Recipe, near
from sdxs.train.parts.rehearsal import walked
from sdxs.train.run import loop
from sdxs.train.run.options import CommandOptions

TRAINED = ("control", "full", "style", "guard", "encoder")  # whose making is looked into
DEVIATION = 0.02  # of weights
TILE = 2**20  # different numbers, again and again


def full_size(
    recipe: Recipe, parts: Callable[[Path], Sequence[Part]], folder: Path, name: str
) -> tuple[Part, CommandOptions]:
    """A stage of those that come in `folder`, and all that it takes. Raises TrainingError, also for
    none of that name."""
    names: list[str] = []
    for part, asked in walked(recipe, parts, folder, published=True, at=folder):
        names.append(part.name)
        networks_of(part.command, asked)  # which leaves the settings for the next
        if part.name != name:
            continue
        given = {each.name: getattr(asked, each.name) for each in fields(asked)}  # type: ignore[arg-type]
        for taken in TRAINED:
            if isinstance(given.get(taken), Path):
                raise recipe.wrong("--measure", f"random weights cannot stand in for --{taken}")
        places = {place for place in given.values() if isinstance(place, Path) and place.is_dir()}
        for place in places - {part.run}:
            if folder in place.parents:  # what lies elsewhere has weights of its own
                fill(place)
        if given.get("pairs") and (of := given.get("offline") or given.get("teacher")):
            fill_pairs(given["pairs"], blueprints.unet(of).config["sample_size"])
        return part, asked
    raise recipe.wrong("--measure", f"no stage is called {name}: {near(name, names)}")


def fill(folder: Path) -> None:
    """Give the networks of a folder weights, float16, and what else a checkpoint has."""
    for part in filter(Path.is_dir, sorted(folder.iterdir())):
        if part.name in blueprints.TEXT:
            fill_words(part)
        elif (part / "config.json").is_file():
            weigh(blueprints.read(part), part / "diffusion_pytorch_model.safetensors")
    DDIMScheduler(**SCHEDULE, clip_sample=False).save_pretrained(folder / "scheduler")


def fill_words(part: Path) -> None:
    """A text encoder, and a tokenizer whose tokens it knows."""
    tokenizer, file = byte_tokenizer(window=WINDOW), part / "config.json"
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id")
           for name in ("bos", "eos", "pad")}  # fmt: skip
    file.write_text(json.dumps({**json.loads(file.read_text()), **ids}))
    weigh(blueprints.text_encoders(part.parent)[part.name], part / "model.safetensors")
    tokenizer.save_pretrained(part.with_name(part.name.replace("text_encoder", "tokenizer")))


def weigh(network: Any, file: Path) -> None:
    """Random weights for a network, in which no signal dies or explodes."""
    numbers = DEVIATION * torch.randn(TILE, generator=loop.chance(0, 0)).half()

    def made(name: str, shape: torch.Size) -> torch.Tensor:
        if len(shape) == 1:
            return torch.full(shape, float(name.endswith("weight")), dtype=torch.float16)
        count = shape.numel()
        return numbers.repeat(-(-count // TILE))[:count].view(shape)

    weights = {name: made(name, part.shape) for name, part in network.state_dict().items()}
    save_file(weights, file, {"format": "pt"})


def fill_pairs(folder: Path, side: int) -> None:
    """A chunk of latents, of so many cells along a side, that nobody painted."""
    generator = loop.chance(0, 1)
    noise, latents = torch.randn(2, CHUNK, 4, side, side, generator=generator).half().unbind()
    rng = loop.plain(generator)
    texts = [describe(scene, rng).text for scene in sample_scenes(CHUNK, 0)]
    save_file(
        {"noise": noise, "latents": latents}, chunk_file(folder, 0), {"prompts": json.dumps(texts)}
    )
    about = {"steps": 1, "guidance": 1.0, "within": 1.0, "seed": 0, "teacher": ""}
    (folder / ABOUT).write_text(json.dumps(about))
