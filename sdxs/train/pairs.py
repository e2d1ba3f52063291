"""Noise-picture pairs from the teacher: the warm-up's data, made from prompts alone.

Chunk k depends on (seed, k) only and is written whole or not at all, so the command resumes.
"""

import json
import random
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from sdxs.storybook.world.captions import as_typed, describe
from sdxs.storybook.world.scenes import sample_scene
from sdxs.train.parts.lora import fingerprint
from sdxs.train.parts.solver import GUIDANCE, Model
from sdxs.train.run import loop, stage
from sdxs.train.style import learnt_below

CHUNK, ABOUT = 64, "pairs.json"


def prompts_of(seed: int, chunk: int) -> list[str]:
    """The prompts of a chunk; those of the composition test never occur."""
    return draw_prompts(random.Random(f"{seed}/{chunk}"), CHUNK)


def draw_prompts(rng: random.Random, count: int) -> list[str]:
    """Prompts of scenes as training may see them, written as people type."""
    return [as_typed(describe(sample_scene(rng), rng).text, rng) for _ in range(count)]


def make(
    run: Path,
    *,
    teacher: Path,
    style: Path | None = None,
    count: int,
    steps: int,
    guidance: float,
    seed: int,
) -> None:
    """Leave at least `count` pairs in `run`, whole chunks of them. Raises TrainingError.

    style: one for the teacher to wear, at the timesteps that the style has learnt. guidance: of the
    solver; 1 for a model that has it in its weights (`sdxs.train.straighten`).
    """
    model = Model.load(teacher)
    side, channels = model.unet.config["sample_size"], model.unet.config["in_channels"]
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        "steps": steps,
        "guidance": guidance,
        "within": stage.read(teacher).get("guidance", 1.0),  # what its weights have learnt
        "seed": seed,
        "teacher": loop.fingerprint(model.unet),
    }
    if style is not None:
        below = learnt_below(style, model)
        solver = model.solver_of(steps)
        if solver.timesteps[-1] >= below * solver.config["num_train_timesteps"]:
            raise loop.TrainingError(
                f"none of {steps} steps lies where the style was learnt, below {below:g} of all "
                "timesteps: take more"
            )
        settings |= {"style": fingerprint(style / "style"), "below": below}
        model = model.wearing(style / "style", below)
    about = run / ABOUT
    known = json.loads(about.read_text()) if about.exists() else settings
    if known != settings:
        name = next(name for name in known | settings if known.get(name) != settings.get(name))
        raise loop.TrainingError(
            f"{run} holds pairs with {name}={known.get(name)}, not {settings.get(name)}: use that, "
            "or another --run"
        )
    with loop.replacing(about) as part:
        part.write_text(json.dumps(settings))
    chunks = range(-(-count // CHUNK))
    seconds = 0.0
    bar = tqdm(chunks, desc="pairs", unit=f"{CHUNK} pairs", dynamic_ncols=True, mininterval=2)
    for chunk in bar:
        path = run / f"chunk-{chunk:05d}.safetensors"
        if not path.exists():
            began = time.monotonic()
            noise = torch.randn(CHUNK, channels, side, side, generator=loop.chance(seed, chunk))
            latents = model.sample(prompts_of(seed, chunk), noise, steps, guidance)
            data = {"noise": noise.half(), "latents": latents.contiguous().half()}
            with loop.replacing(path) as part:
                save_file(data, part, {"seconds": f"{time.monotonic() - began:.2f}"})
        with safe_open(path, "pt") as chunk_file:
            seconds += float((chunk_file.metadata() or {}).get("seconds", 0))
    stage.finish(run, "pairs", seconds, **settings, count=len(chunks) * CHUNK)


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


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("pairs", __doc__, seed=3)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MODELS, default="blocks",
                words="the model: of many steps, of a few, or of one "
                      "(--steps 1 --guidance 1)")  # fmt: skip
    stage.needs(parser, "--style", "style", words="a style for it to wear")
    add("--count", type=stage.positive, default=20480, help="pairs, rounded up to whole chunks")
    add("--steps", type=stage.positive, default=10, help="steps of the solver")
    add("--guidance", type=float, default=GUIDANCE, help="of the solver")
    options = vars(parser.parse_args(arguments))
    make(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
