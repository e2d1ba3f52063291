"""Autoencoders at work in the stages: read, asked for latents, measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from sdxs.checkpoint.networks import AUTOENCODERS, load_autoencoder
from sdxs.checkpoint.weights import part_of
from sdxs.storybook.world.artists import ARTISTS, Artist, redraw
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes
from sdxs.train.parts.renders import to_unit
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.machine import DEVICE, fast, placed


@dataclass(frozen=True)
class Autoencoder:
    """Pictures (B, 3, 8h, 8w) in [-1, 1] to latents (B, C, h, w) as U-Nets see them, and back.

    network: an AutoencoderTiny or an AutoencoderKL, frozen. scale, shift: of its latents.
    """

    network: Any
    scale: float | Tensor = 1.0
    shift: float | Tensor = 0.0

    @classmethod
    def load(cls, folder: Path) -> "Autoencoder":
        """What a stage, or a checkpoint, holds. Raises CheckpointError."""
        part = part_of(folder / "vae", AUTOENCODERS, "diffusion_pytorch_model")
        network, scale, shift, *_ = load_autoencoder(part, torch.float32, sdxl=True)
        return cls(network, scale, shift)

    def placed(self) -> "Autoencoder":
        """On the device."""
        return Autoencoder(placed(self.network), *map(placed_number, (self.scale, self.shift)))

    def encode(self, pictures: Tensor) -> Tensor:
        """Of an AutoencoderKL the mean."""
        if isinstance(self.network, AutoencoderTiny):
            z = self.network.encoder(pictures)
        else:
            z = self.network.encode(pictures).latent_dist.mean
        return (z - self.shift) * self.scale

    def decode(self, latents: Tensor) -> Tensor:
        z = latents / self.scale + self.shift
        if isinstance(self.network, AutoencoderTiny):
            pictures: Tensor = self.network.decoder(z)
            return pictures
        shown: Tensor = self.network.decode(z).sample
        return shown


def placed_number(value: float | Tensor) -> float | Tensor:
    return value.to(DEVICE) if isinstance(value, Tensor) else value


def read_autoencoder(folder: Path) -> AutoencoderTiny:
    """The AutoencoderTiny that a stage, or a checkpoint, holds; frozen, in float32. Raises
    TrainingError for a folder that holds an AutoencoderKL."""
    network = Autoencoder.load(folder).network
    if not isinstance(network, AutoencoderTiny):
        raise TrainingError(
            f"{folder} holds an {type(network).__name__}, and an AutoencoderTiny is needed here: "
            "give the folder of one, such as what sdxs.train.decoder leaves"
        )
    return network


def with_decoder(
    vae: AutoencoderTiny, widths: tuple[int, ...], blocks: tuple[int, ...]
) -> AutoencoderTiny:
    """The encoder of another autoencoder, and a new decoder of so many stages."""
    config = {**vae.config, "decoder_block_out_channels": widths, "num_decoder_blocks": blocks}
    config.pop("block_out_channels", None)
    made: AutoencoderTiny = AutoencoderTiny.from_config(config)
    made.encoder.load_state_dict(vae.encoder.state_dict())
    return made


@torch.no_grad()
def encoded(vae: Autoencoder, pictures: Tensor) -> Tensor:
    """uint8 pictures (N, 3, R, R) to latents (N, 4, R / 8, R / 8) float32."""
    parts = []
    for some in pictures.split(32):
        with fast():
            z = vae.encode(placed(to_unit(some)))
        parts.append(z.float().cpu().contiguous())
    return torch.cat(parts)


@torch.no_grad()
def psnr(vae: AutoencoderTiny, pictures: Tensor) -> float:
    """PSNR in dB of uint8 pictures (N, 3, R, R) that come back, by the mean of all errors."""
    errors = []
    for some in pictures.split(32):
        x = to_unit(some).to(vae.device)
        ours = vae.decode(vae.encode(x).latents).sample.clamp(-1, 1)
        errors.append(((ours - x) / 2).square().flatten())
    return float(-10 * torch.cat(errors).mean().log10())


def fidelity(
    vae: AutoencoderTiny, resolution: int, artists: bool, count: int, scale: int = 1
) -> dict[str, float]:
    """How well pictures come back, in dB: renders, the things in them, and each artist's.

    Of the arguments see `box_psnr`.
    """
    whole, boxed = box_psnr(vae, resolution, count, scale=scale)
    found = {"psnr": whole, "psnr_in_boxes": boxed}
    if artists:
        for name, artist in ARTISTS.items():
            found[f"psnr_{name}"] = box_psnr(vae, resolution, count, artist, scale)[0]
    return {name: round(value, 2) for name, value in found.items()}


@torch.no_grad()
def box_psnr(
    vae: AutoencoderTiny, resolution: int, count: int, artist: Artist | None = None,
    scale: int = 1,
) -> tuple[float, float]:  # fmt: skip
    """PSNR in dB on held-out renders, or an artist's: whole pictures, and in the things' boxes.

    scale: how many times larger than what its encoder is shown the pictures are to come back.
    """
    scenes = sample_scenes(count, HELD_OUT_SEED, unseen="any")
    errors, inside, size = [], [], scale * resolution
    for i in range(0, count, 32):
        picture = redraw(render(scenes[i : i + 32], resolution, vae.device), artist)
        ours = vae.decode(vae.encode(picture).latents).sample.clamp(-1, 1)
        if scale > 1:
            picture = redraw(render(scenes[i : i + 32], size, vae.device), artist)
        error = ((ours - picture) / 2).square().mean(1)  # (B, size, size)
        for j, scene in enumerate(scenes[i : i + 32]):
            errors.append(error[j].flatten())
            for t in scene.things:
                x0, x1 = (t.x - t.height / 2) * size, (t.x + t.height / 2) * size
                y0, y1 = (t.y - t.height) * size, t.y * size
                inside.append(
                    error[j, max(0, int(y0)) : int(y1), max(0, int(x0)) : int(x1)].flatten()
                )
    whole, boxed = (-10 * torch.cat(parts).mean().log10() for parts in (errors, inside))
    return whole.item(), boxed.item()
