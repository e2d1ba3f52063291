"""A U-Net on its way, and what it is to say of latents with noise: read, asked, left in a folder.

Knows nothing of prompts but what a U-Net reads of them.
"""

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from sdxs.checkpoint.parts import load_denoising
from sdxs.model.eager import size_ids
from sdxs.model.text import Words
from sdxs.train.parts.models import FACTOR
from sdxs.train.parts.schedule import Schedule
from sdxs.train.run.machine import fast, placed


def added_to(words: Words, x: Tensor) -> dict[str, Tensor] | None:
    """What SDXL's U-Net is told beside the states of prompts, for latents x (B, C, h, w)."""
    if words.pooled is None:
        return None
    return {"text_embeds": words.pooled, "time_ids": size_ids(x, FACTOR).to(x.device)}


@dataclass(frozen=True)
class Denoiser:
    """A U-Net, maybe under a control, and the noise that it was trained on.

    x: latents with noise (B, C, h, w); t: timesteps () or (B,); words: of B prompts. float32.
    """

    unet: Any
    schedule: Schedule

    def with_unet(self, unet: nn.Module) -> Self:
        """Another U-Net, of the same noise."""
        return dataclasses.replace(self, unet=unet)

    def predict(self, x: Tensor, t: Tensor, words: Words) -> Tensor:
        """What the U-Net says, in the form that its schedule states; as x."""
        with fast():
            said: Tensor = self.unet(
                x.to(memory_format=torch.channels_last), t, words.states,
                added_cond_kwargs=added_to(words, x), return_dict=False,
            )[0]  # fmt: skip
        return said.float()

    def x0(self, x: Tensor, t: Tensor, words: Words) -> Tensor:
        """The clean latents that it takes x for."""
        return self.schedule.x0(x, self.predict(x, t, words), t)

    def one_step(self, noise: Tensor, words: Words) -> Tensor:
        """The latents (B, C, h, w) that it reaches from unit noise at once, at the last t."""
        t = torch.full((len(noise),), self.schedule.last, device=noise.device)
        return self.x0(noise, t, words)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Of what it was trained on, (C, h, w)."""
        side = self.unet.config["sample_size"]
        height, width = (side, side) if isinstance(side, int) else side
        return self.unet.config["in_channels"], height, width

    @property
    def resolution(self) -> int:
        """Side of its pictures in pixels."""
        return FACTOR * self.latent_shape[1]


def read_denoiser(folder: Path) -> Denoiser:
    """The U-Net that a stage left, or a checkpoint's, in float32 and ready to learn. Raises
    CheckpointError, TrainingError."""
    unet, config, _ = load_denoising(folder)
    return Denoiser(placed(unet.requires_grad_(True)), Schedule.of(config))


def leave(denoiser: Denoiser, beside: Path, run: Path) -> None:
    """Put a U-Net in a run's folder, with its one-step scheduler and what reads its prompts, which
    is taken from `beside`: so that the folder is whole by itself."""
    denoiser.unet.save_pretrained(run / "unet")
    denoiser.schedule.one_step().save_pretrained(run / "scheduler")
    for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        if (beside / part).is_dir():
            shutil.copytree(beside / part, run / part, dirs_exist_ok=True)
