"""Put the trained parts together as one checkpoint: diffusers layout, float16 safetensors.

The folder is loaded again through `SDXS.load` and paints a picture before the command says done.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging
from transformers import CLIPTokenizer

from sdxs.checkpoint.open import CALIBRATION, DICTIONARY, WORDS
from sdxs.pipeline import SDXS
from sdxs.storybook.world.captions import described
from sdxs.storybook.world.kin import fillers, near
from sdxs.storybook.world.words import phrases
from sdxs.train.parts.autoencoders import Autoencoder, read_autoencoder
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.options import CommandOptions, option
from sdxs.train.run.stages import ONE_STEP

LIMIT = 32 * 10**6  # bytes of the whole folder, where it is to ship with the package
CALIBRATED_ON, CALIBRATION_SEED = 64, 8  # captions, for 8-bit integers


class Options(CommandOptions):
    out: Path = option(
        Path("runs/checkpoint"), "where it goes; an earlier checkpoint there is replaced",
        metavar="FOLDER",
    )  # fmt: skip
    model: Path = stage.needs("the one-step model", *ONE_STEP, default="average")
    decoder: Path = stage.needs(
        "what makes pictures of latents", "decoder", "autoencoder", "upscale"
    )
    large: Path | None = stage.takes(
        "an autoencoder to go along, as the larger decoder", "autoencoder"
    )
    world: str | None = option(
        "storybook", "whose words go along, for pages", choices=("storybook",),
        off=("--any-words", "of a model that understands any words, and may be large"),
    )  # fmt: skip


def assembled(parts: Model, folder: Path, vae: Any) -> DiffusionPipeline:
    """diffusers' own pipeline of a one-step model; folder: where its tokenizers are."""
    networks: dict[str, Any] = dict(parts.text.networks)
    for name in parts.text.networks:
        tokenizer = name.replace("text_encoder", "tokenizer")
        networks[tokenizer] = CLIPTokenizer.from_pretrained(folder / tokenizer)
    networks |= {"unet": parts.unet, "vae": vae, "scheduler": parts.schedule.one_step()}
    if len(parts.text.networks) > 1:
        return StableDiffusionXLPipeline(**networks)
    unsafe = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return StableDiffusionPipeline(**networks, **unsafe)


def export(options: Options) -> None:
    """Put a one-step model and a decoder together in a folder, and maybe a larger decoder.

    Raises TrainingError if they are too large to ship, or if the folder is something else.
    """
    logging.set_verbosity_error()  # of float16 on a processor, which is for the files alone
    out, model = options.out, options.model
    if out.exists() and not (out / "model_index.json").is_file():
        raise loop.TrainingError(f"{out} is there and no checkpoint: choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = Model.load(model)
    pipeline = assembled(parts, model, read_autoencoder(options.decoder))
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.to(device="cpu", dtype=torch.float16).save_pretrained(part)
    one_step = {"steps": 1, "timestep": parts.schedule.last, "guidance": 1.0}
    (part / stage.EXPORTED).write_text(json.dumps(one_step, indent=2) + "\n")
    if options.large is not None:
        Autoencoder.load(options.large).network.half().save_pretrained(part / "vae_large")
    if options.world:
        known = {WORDS: phrases(), DICTIONARY: {"fillers": fillers(), "near": near()}}
        for name, content in known.items():
            (part / name).write_text(json.dumps(content, indent=2) + "\n")
        _, captions = described(CALIBRATED_ON, CALIBRATION_SEED, unseen="any")
        (part / CALIBRATION).write_text("".join(f"{caption.text}\n" for caption in captions))
    size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    if options.world and size > LIMIT:
        raise loop.TrainingError(
            f"{part} weighs {size / 1e6:.1f} MB, over {LIMIT / 1e6:.0f}: choose a smaller preset"
        )
    for config in part.rglob("*.json"):
        content = json.loads(config.read_text())
        if content.pop("_name_or_path", None) is not None:  # means nothing on another machine
            config.write_text(json.dumps(content, indent=2) + "\n")
    SDXS.load(str(part.resolve()))("a red ball on the grass")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    print(f"{out}: {size / 1e6:.1f} MB, loaded and painted")


main = stage.main(Options, export, __name__)
