"""Encoders to choose from in feature matching: a CNN or a ViT that tells what latents show.

The paper names pretrained CNNs and ViTs; the storybook's are trained here, in minutes, to say of
every cell which thing is seen there and in which colour. Scoring never uses them.
"""

from pathlib import Path

import torch
from torch import Tensor

from sdxs.train.parts.autoencoders import read_autoencoder
from sdxs.train.parts.features import ENCODERS, save_encoder
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.losses import segmentation
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import RenderOptions, option

NOISE = 0.3  # at most, on latents of unit deviation: what it will see is never quite clean


class Options(RenderOptions, steps=1500, batch=64, lr=1e-3, pictures=40000, seed=9):
    autoencoder: Path = stage.needs("whose latents are seen", "autoencoder")
    kind: str = option("cnn", "what it is built of", choices=ENCODERS)


def train(options: Options) -> None:
    """Leave an encoder of the kind, one of ENCODERS, in `run`. Raises TrainingError."""
    vae = read_autoencoder(options.autoencoder)
    data = encode_scenes(options.run, vae, options.pictures, options.seed, options.resolution)
    torch.manual_seed(options.seed)
    encoder = placed(ENCODERS[options.kind]())
    learner = Learner("encoder", encoder, options.lr, betas=(0.9, 0.999))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        x, _, seen = data.batch(options.batch, generator)
        strength = NOISE * torch.rand(options.batch, 1, 1, 1, generator=generator)
        x = x + strength * torch.randn(x.shape, generator=generator)
        with fast():
            logits: Tensor = encoder(placed(x))
        loss = segmentation(logits.float(), seen.to(DEVICE))
        learner.update(loss, loop.cosine(index, options.steps))
        return {"loss": loss.item()}

    facts = {"encoder": loop.fingerprint(vae.encoder)}
    with stage.trained(options, learner.parts, step, facts, spent=data.seconds):
        save_encoder(encoder, options.kind, options.run)


main = stage.main(Options, train, __name__)
