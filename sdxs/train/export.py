"""Put the trained parts together as one checkpoint: diffusers layout, float16 safetensors.

The folder is loaded again through `SDXS.load` and paints a picture before the command says done.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline

from sdxs.checkpoint.open import WORDS
from sdxs.pipeline import SDXS
from sdxs.storybook.world.words import phrases
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage

LIMIT = 32 * 10**6  # bytes of the whole folder


def export(out: Path, *, model: Path, decoder: Path, large: Path | None = None) -> None:
    """Put the one-step model of `model` and the decoder of `decoder` together in the folder `out`.

    large: a run whose autoencoder comes along as `vae_large`, for `decoder="large"`.
    Raises TrainingError if it is too large to ship, or if `out` is something else.
    """
    if out.exists() and not (out / "model_index.json").is_file():
        raise loop.TrainingError(f"{out} is there and no checkpoint: choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = Model.load(model)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(decoder / "vae"),
        text_encoder=parts.text,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=DDIMScheduler.from_pretrained(model / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.to(device="cpu", dtype=torch.float16).save_pretrained(part)
    if large is not None:
        vae = AutoencoderTiny.from_pretrained(large / "vae")
        vae.half().save_pretrained(part / "vae_large")
    (part / WORDS).write_text(json.dumps(phrases(), indent=2) + "\n")
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
    parser = stage.parser("export", __doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/checkpoint"), metavar="FOLDER",
                        help="where it goes; an earlier checkpoint there is replaced")  # fmt: skip
    stage.needs(parser, "--model", *stage.ONE_STEP, default="texture", words="the one-step model")
    stage.needs(parser, "--decoder", "decoder", "autoencoder", default="decoder",
                words="what makes pictures of latents")  # fmt: skip
    stage.needs(parser, "--large", "autoencoder",
                words="an autoencoder to go along, as the larger decoder")  # fmt: skip
    options = vars(parser.parse_args(arguments))
    export(options.pop("out"), **options)


if __name__ == "__main__":
    stage.command(main)
