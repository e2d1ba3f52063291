"""Encoders to choose from in feature matching: a CNN or a ViT that tells what latents show.

The paper names pretrained CNNs and ViTs; the storybook's are trained here, in minutes, to say of
every cell which thing is seen there and in which colour. Scoring never uses them.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from sdxs.train.parts.features import ENCODERS, save_encoder
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.losses import segmentation
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed

NOISE = 0.3  # at most, on latents of unit deviation: what it will see is never quite clean


def train(
    run: Path,
    *,
    autoencoder: Path,
    kind: str,
    steps: int,
    batch: int,
    lr: float,
    pictures: int,
    resolution: int,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave an encoder of `kind`, one of ENCODERS, in `run`. Raises TrainingError."""
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    data = encode_scenes(run, vae, pictures, seed, resolution)
    torch.manual_seed(seed)
    encoder = placed(ENCODERS[kind]())
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.0, weight_decay=0.01, fused=True)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.cosine(index, steps))
        x, _, seen = data.batch(batch, generator)
        strength = NOISE * torch.rand(batch, 1, 1, 1, generator=generator)
        x = x + strength * torch.randn(x.shape, generator=generator)
        with fast():
            logits: Tensor = encoder(x.to(DEVICE, memory_format=torch.channels_last))
        loss = segmentation(logits.float(), seen.to(DEVICE))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.item()}

    settings = {
        "encoder": loop.fingerprint(vae.encoder),
        "kind": kind,
        "batch": batch,
        "lr": lr,
        "pictures": pictures,
        "resolution": resolution,
    }
    parts = {"encoder": encoder, "optimizer": optimizer}
    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title=kind,
        save_seconds=save_seconds,
    )  # fmt: skip
    save_encoder(encoder, kind, run)
    stage.finish(run, "encoders", data.seconds + seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "encoders", __doc__,
        steps=1500, batch=64, lr=1e-3, pictures=40000, resolution=128, seed=9,
    )  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="whose latents are seen")  # fmt: skip
    parser.add_argument("--kind", choices=ENCODERS, default="cnn", help="what it is built of")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
