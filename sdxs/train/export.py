"""Put the trained parts together as one checkpoint: diffusers layout, float16 safetensors.

The folder is loaded again through `SDXS.load` and paints a picture before the command says done.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from sdxs.pipeline import SDXS
from sdxs.train import loop
from sdxs.train.solver import Teacher

LIMIT = 32 * 10**6  # bytes of the whole folder


def export(out: Path, *, unet: Path, teacher: Path, autoencoder: Path) -> None:
    model = Teacher.load(teacher)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(autoencoder),
        text_encoder=model.text,
        tokenizer=model.tokenizer,
        unet=UNet2DConditionModel.from_pretrained(unet),
        scheduler=DDIMScheduler.from_pretrained(teacher / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.to(dtype=torch.float16).save_pretrained(part)
    size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    if size > LIMIT:
        raise loop.TrainingError(
            f"{part} weighs {size / 1e6:.1f} MB, over {LIMIT / 1e6:.0f}: choose a smaller preset"
        )
    for config in part.rglob("*.json"):
        forget_origin(config)
    SDXS.load(str(part.resolve()))("a red ball on the grass")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    print(f"{out}: {size / 1e6:.1f} MB, loaded and painted")


def forget_origin(config: Path) -> None:
    """Drop the folder that the part was loaded from: it means nothing on another machine."""
    content = json.loads(config.read_text())
    if content.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(content, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("weights/storybook"))
    parser.add_argument("--unet", type=loop.made_by("warmup"), default="runs/warmup/unet")
    parser.add_argument(
        "--teacher",
        type=loop.made_by("teacher"),
        default="runs/teacher",
        help="for text encoder, scheduler",
    )
    parser.add_argument(
        "--autoencoder", type=loop.made_by("autoencoder"), default="runs/autoencoder/vae"
    )
    options = vars(parser.parse_args(arguments))
    export(options.pop("out"), **options)


if __name__ == "__main__":
    loop.command(main)
