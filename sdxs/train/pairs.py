"""Noise-picture pairs from the teacher: the warm-up's data, made from prompts alone.

Chunk k depends on (seed, k) only and is written whole or not at all, so the command resumes.
"""

import json
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from sdxs.train.parts.lora import fingerprint, learnt_below
from sdxs.train.parts.pairs import ABOUT, CHUNK, prompts_of
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.options import StageOptions, option, positive
from sdxs.train.run.stages import GUIDANCE, MODELS


class Options(StageOptions, seed=3):
    teacher: Path = stage.needs(
        "the model: of many steps, of a few, or of one (--steps 1 --guidance 1)", *MODELS
    )
    style: Path | None = stage.takes(
        "a style for it to wear, at the timesteps that the style has learnt", "style"
    )
    count: int = option(20480, "pairs, rounded up to whole chunks", type=positive, recorded="never")
    steps: int = option(10, "steps of the solver")
    guidance: float = option(
        GUIDANCE, "of the solver; 1 for a model that has it in its weights (straighten)"
    )


def train(options: Options) -> None:
    """Leave at least `count` pairs in `run`, whole chunks of them. Raises TrainingError."""
    run, steps = options.run, options.steps
    model = Model.load(options.teacher)
    side, channels = model.unet.config["sample_size"], model.unet.config["in_channels"]
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        "steps": steps,
        "guidance": options.guidance,
        "within": stage.read(options.teacher).get("guidance", 1.0),  # what its weights have learnt
        "seed": options.seed,
        "teacher": loop.fingerprint(model.unet),
    }
    if options.style is not None:
        below = learnt_below(options.style, model.unet)
        solver = model.solver_of(steps)
        if solver.timesteps[-1] >= below * solver.config["num_train_timesteps"]:
            raise loop.TrainingError(
                f"none of {steps} steps lies where the style was learnt, below {below:g} of all "
                "timesteps: take more"
            )
        settings |= {"style": fingerprint(options.style / "style"), "below": below}
        model = model.wearing(options.style / "style", below)
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
    chunks = range(-(-options.count // CHUNK))
    seconds = 0.0
    bar = tqdm(chunks, desc="pairs", unit=f"{CHUNK} pairs", dynamic_ncols=True, mininterval=2)
    for chunk in bar:
        path = run / f"chunk-{chunk:05d}.safetensors"
        if not path.exists():
            began = time.monotonic()
            generator = loop.chance(options.seed, chunk)
            noise = torch.randn(CHUNK, channels, side, side, generator=generator)
            texts = prompts_of(options.seed, chunk)
            latents = model.sample(texts, noise, steps, options.guidance)
            data = {"noise": noise.half(), "latents": latents.contiguous().half()}
            with loop.replacing(path) as part:
                save_file(data, part, {"seconds": f"{time.monotonic() - began:.2f}"})
        with safe_open(path, "pt") as chunk_file:
            seconds += float((chunk_file.metadata() or {}).get("seconds", 0))
    stage.finish(run, "pairs", seconds, **settings, count=len(chunks) * CHUNK)


main = stage.main(Options, train, __name__)
