"""Stage T: the multi-step model, trained by v-prediction; the text encoder stays as it is.

The U-Net has the tiny student's own shape: it serves later as teacher, as offline model and as
the one-step model's start, as Vega does for SDXS-1024 (paper, section 4.1). The loss is the mean
squared error of v at timesteps drawn evenly. The middle ones matter: drawn mostly above 0.7 T,
where what stands where is decided, they leave the model unable to finish a shape.

The text encoder is frozen, as Stable Diffusion's is. Trained along at this learning rate it
forgets within some thousand steps all that the loss does not ask for yet: colours and shapes.

The first `layout_steps` learn what stands where: almost only the noisiest timesteps, and an
error counts three times where a thing stands. Such a weight draws the mean towards the things,
so the steps after them use the plain error.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from sdxs.schedule import add_noise, velocity
from sdxs.train import loop
from sdxs.train.latents import encode_scenes
from sdxs.train.models import (
    PRESETS,
    build_scheduler,
    build_unet,
    short_attention,
    tokenize,
)

LAYOUT_NOISE = 0.1  # t = T u^0.1: two of three lie above 0.9 T
LAYOUT_WEIGHT = 3.0  # of an error in a thing's box
EMPTY = 0.1  # share of prompts left empty, for classifier-free guidance


def train(
    run: Path,
    *,
    autoencoder: Path,
    text: Path,
    begin: Path | None = None,
    preset: str,
    steps: int,
    layout_steps: int,
    batch: int,
    pictures: int,
    lr: float,
    seed: int,
    resolution: int,
    save_seconds: float = 180.0,
) -> None:
    vae = AutoencoderTiny.from_pretrained(autoencoder).eval()
    data = encode_scenes(run, vae, pictures, seed, resolution)
    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(text / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(text / "text_encoder").eval().requires_grad_(False)
    unet = build_unet(PRESETS[preset], resolution).to(memory_format=torch.channels_last)
    if begin is not None:
        unet.load_state_dict(UNet2DConditionModel.from_pretrained(begin / "unet").state_dict())
    parameters = list(unet.parameters())
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    ema = EMAModel(parameters, decay=0.999, foreach=True)
    alphas = build_scheduler().alphas_cumprod

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.trapezoid(index, steps))
        layout = index < layout_steps
        x0, texts, boxes = data.batch(batch, generator)
        empty = torch.rand(batch, generator=generator) < EMPTY
        texts = ["" if e else t for e, t in zip(empty.tolist(), texts, strict=True)]
        noise = torch.randn(x0.shape, generator=generator)
        power = LAYOUT_NOISE if layout else 1.0
        t = (len(alphas) * torch.rand(batch, generator=generator) ** power).long()
        x = add_noise(x0, noise, t, alphas).to(memory_format=torch.channels_last)
        with torch.no_grad():
            context = encoder(tokenize(tokenizer, texts)).last_hidden_state  # (B, L, D)
        with short_attention(), torch.autocast("cpu", torch.bfloat16):
            v: Tensor = unet(x, t, context, return_dict=False)[0]
        error = (v.float() - velocity(x0, noise, t, alphas)).square()
        loss = (error * (1 + (LAYOUT_WEIGHT - 1) * boxes)).mean() if layout else error.mean()
        optimizer.zero_grad(set_to_none=True)
        with short_attention():
            loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        ema.step(parameters)
        return {"loss": loss.item(), "norm": norm.item()}

    settings = {
        "begins_with": loop.fingerprint(unet),
        "text": loop.fingerprint(encoder),
        "autoencoder": loop.fingerprint(vae),
        "preset": preset,
        "layout_steps": layout_steps,
        "batch": batch,
        "pictures": pictures,
        "lr": lr,
        "resolution": resolution,
    }
    parts = {"unet": unet, "optimizer": optimizer, "ema": ema}
    seconds = loop.run(
        run,
        parts,
        step,
        steps=steps,
        seed=seed,
        settings=settings,
        title="teacher",
        save_seconds=save_seconds,
        flat=1 - loop.DECAY,
    )
    ema.copy_to(parameters)
    unet.save_pretrained(run / "unet")
    encoder.save_pretrained(run / "text_encoder")
    tokenizer.save_pretrained(run / "tokenizer")
    build_scheduler().save_pretrained(run / "scheduler")
    print(
        json.dumps(
            {
                "stage": "teacher",
                "preset": preset,
                "samples": steps * batch,
                "hours": round(seconds / 3600, 3),
            }
        )
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", type=Path, default=Path("runs/teacher"), help="folder for its state"
    )
    parser.add_argument(
        "--autoencoder", type=loop.made_by("autoencoder"), default="runs/autoencoder/vae"
    )
    parser.add_argument("--text", type=loop.made_by("text"), default="runs/text")
    parser.add_argument(
        "--begin",
        type=loop.made_by("teacher"),
        metavar="FOLDER",
        help="begin with the U-Net of an earlier teacher instead of a random one",
    )
    parser.add_argument("--preset", choices=PRESETS, default="s")
    parser.add_argument("--steps", type=int, default=16000)
    parser.add_argument(
        "--layout-steps", type=int, default=1200, help="first steps, for what stands where"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=20000, help="renders to learn from")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--resolution", type=int, default=128)
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    loop.command(main)
