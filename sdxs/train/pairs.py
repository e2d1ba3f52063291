"""Noise-picture pairs from the teacher: the warm-up's data, made from prompts alone.

Chunk k depends on (seed, k) only and is written whole or not at all, so the command resumes. Under
`accelerate launch` or torchrun each rank makes every so-many-th; with other ranks, or with one, the
command goes on likewise.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from sdxs.train.parts.pairs import ABOUT, CHUNK, chunk_file
from sdxs.train.parts.prompts import HELP, open_prompts
from sdxs.train.parts.solver import Model
from sdxs.train.parts.worn import open_style
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE
from sdxs.train.run.options import StageOptions, option, positive
from sdxs.train.run.stages import GUIDANCE, MODELS

LOG = "seconds{}.jsonl"  # of each chunk; a rank's own: not every file system lets two write to one


class Options(StageOptions, seed=3):
    teacher: Path = stage.needs(
        "the model: of many steps, of a few, or of one (--steps 1 --guidance 1)", *MODELS
    )
    text: Path | None = stage.takes("whose text encoders read the prompts instead", "text")
    style: Path | None = stage.takes(
        "a style for it to wear, at the timesteps that the style has learnt", "style"
    )
    style_scale: float = option(1.0, "how strong it is")
    prompts: str | None = option(
        None, f"to paint, if not the storybook's: {HELP}", recorded="never"
    )
    count: int = option(20480, "pairs, rounded up to whole chunks", type=positive, recorded="never")
    steps: int = option(10, "steps of the solver")
    guidance: float = option(
        GUIDANCE, "of the solver; 1 for a model that has it in its weights (straighten)"
    )
    micro_batch: int = option(
        CHUNK, "pairs painted at a time: neither noises nor prompts depend on it",
        type=positive, recorded="never",
    )  # fmt: skip


def train(options: Options) -> None:
    """Leave at least `count` pairs in `run`, whole chunks of them. Raises TrainingError."""
    rank, ranks = launched()
    run, steps, at_once = options.run, options.steps, options.micro_batch
    known = stage.read(options.teacher)
    if options.prompts is None and of_other_words(known):
        raise loop.TrainingError(
            f"{options.teacher} did not learn the storybook's captions: give those that it learnt "
            "by --prompts"
        )
    prompts = open_prompts(options.prompts)
    model = Model.load(options.teacher, options.text)
    side, channels = model.unet.config["sample_size"], model.unet.config["in_channels"]
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        "steps": steps,
        "guidance": options.guidance,
        "within": known.get("guidance", 1.0),  # what its weights have learnt
        "seed": options.seed,
        "teacher": loop.fingerprint(model.unet),
    }
    if options.style is not None:
        worn = open_style(options.style, model.networks, options.style_scale)
        solver = model.solver_of(steps)
        if solver.timesteps[-1] >= worn.below * solver.config["num_train_timesteps"]:
            raise loop.TrainingError(
                f"none of {steps} steps lies where the style was learnt, below {worn.below:g} of "
                "all timesteps: take more"
            )
        settings |= {"style": worn.fingerprint, "below": worn.below}
        model = model.wearing(worn)
    if options.text is not None:
        settings["text"] = model.text.fingerprint
    if prompts.facts:
        settings["prompts"] = prompts.facts
    about = run / ABOUT
    before = json.loads(about.read_text()) if about.exists() else dict(settings)
    before.pop("source", None)  # where the file lies may change
    if before != settings:
        name = next(name for name in before | settings if before.get(name) != settings.get(name))
        raise loop.TrainingError(
            f"{run} holds pairs with {name}={before.get(name)}, not {settings.get(name)}: use "
            "that, or another --run"
        )
    if prompts.source is not None:
        settings["source"] = prompts.source
    if rank == 0:
        with loop.replacing(about) as part:
            part.write_text(json.dumps(settings))
    chunks = range(-(-options.count // CHUNK))
    if rank == 0 and not all(chunk_file(run, chunk).exists() for chunk in chunks):
        (run / stage.RESULT).unlink(missing_ok=True)  # it said that what was asked was there
    bar = tqdm(
        chunks[rank::ranks], desc="pairs", unit=f"{CHUNK} pairs", dynamic_ncols=True, mininterval=2,
        disable=rank > 0,
    )  # fmt: skip
    for chunk in bar:
        if (path := chunk_file(run, chunk)).exists():
            continue
        began = time.monotonic()
        generator = loop.chance(options.seed, chunk)
        noise = torch.randn(CHUNK, channels, side, side, generator=generator)
        texts = prompts.chunk(options.seed, chunk, CHUNK)
        latents = [
            model.sample(texts[i : i + at_once], noise[i : i + at_once], steps, options.guidance)
            for i in range(0, CHUNK, at_once)
        ]
        data = {"noise": noise.half(), "latents": torch.cat(latents).contiguous().half()}
        if not data["latents"].isfinite().all():
            raise loop.TrainingError(
                f"what {options.teacher} paints is not finite in float16: check its "
                "prediction_type, --steps and --guidance"
            )
        with loop.replacing(path) as part:
            save_file(data, part, {"prompts": json.dumps(texts)})
        with open(run / LOG.format(f"-{rank}" if rank else ""), "a") as log:
            spent = {"chunk": chunk, "seconds": round(time.monotonic() - began, 2)}
            print(json.dumps(spent), file=log)
    if rank == 0:
        stage.finish(run, "pairs", spent_on(run, chunks), **settings, count=len(chunks) * CHUNK)


def of_other_words(made: Mapping[str, Any]) -> bool:
    """Whether a finished stage learnt of captioned pictures of others', or of pairs that were
    made of prompts of others'."""
    return "data" in made or "prompts" in made.get("pairs", {})


def launched() -> tuple[int, int]:
    """This process's rank, and of how many, as a launcher's environment says."""
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        return 0, 1
    state = PartialState(cpu=DEVICE.type == "cpu")  # it also chooses the rank's graphics card
    return state.process_index, state.num_processes


def spent_on(run: Path, chunks: range) -> float:
    """The seconds that the chunks took, once all of them are there; other ranks make some."""
    bar = tqdm(chunks, desc="chunks of all ranks", delay=5, dynamic_ncols=True, mininterval=2)
    for chunk in bar:
        while not chunk_file(run, chunk).exists():
            time.sleep(0.5)
    rows = [row for file in run.glob(LOG.format("*")) for row in file.read_text().splitlines()]
    logged = {told["chunk"]: told["seconds"] for told in map(json.loads, rows)}
    return sum(logged[chunk] if chunk in logged else told_in(run, chunk) for chunk in chunks)


def told_in(run: Path, chunk: int) -> float:
    """The seconds as chunks of before say them themselves."""
    with safe_open(chunk_file(run, chunk), "pt") as file:
        return float((file.metadata() or {}).get("seconds", 0))


main = stage.main(Options, train, __name__)
