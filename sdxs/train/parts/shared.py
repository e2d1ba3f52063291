"""DMD2's own discriminator: a head on the bottleneck of the online model, which learns along.

As in section 4.3 of arXiv 2405.14867 and its published code: latents with noise of a timestep that
is drawn evenly, the loss of the first GANs that does not saturate (arXiv 1406.2661), and a
hundredth of it beside eq. 1 in the online model's own updates. Knows nothing of what the student
is, nor of those updates.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.features import bottleneck
from sdxs.train.parts.learner import MicroBatch
from sdxs.train.parts.segmented import noised
from sdxs.train.run.machine import fast, placed

WEIGHT = 0.01  # of the discriminator's loss, by that of the online model


class Head(nn.Module):
    """How real features (B, C, h, w) are: logits (B,). Theirs leaves one cell; of this the mean of
    all cells counts, so that pictures may have any size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        halve = (3, 2, 1)
        self.body = nn.Sequential(
            nn.Conv2d(size, size, *halve), nn.GroupNorm(8, size), nn.SiLU(),
            nn.Conv2d(size, size, *halve), nn.GroupNorm(8, size), nn.SiLU(),
            nn.Conv2d(size, 1, 1),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.body(features)
        return logits.flatten(1).mean(1)


class Shared:
    """The discriminator that is trained with the online model, by whoever trains that."""

    def __init__(self, online: Denoiser) -> None:
        self.online = online
        self.network = placed(Head(online.unet.config["block_out_channels"][-1]))

    def following(
        self, real: Tensor, fake: Tensor, words: Words, generator: torch.Generator
    ) -> MicroBatch:
        """What goes with eq. 1, of latents (B, 4, h, w), real and painted, of the same captions."""
        ours = self.logits(real, words, generator)
        theirs = self.logits(fake, words, generator)
        loss = F.softplus(-ours).mean() + F.softplus(theirs).mean()
        return MicroBatch(WEIGHT * loss, {"discriminator": loss.item()})

    def loss(self, real: Tensor, fake: Tensor, words: Words, generator: torch.Generator) -> Tensor:
        """The student's: that what it painted should pass for real."""
        return F.softplus(-self.logits(fake, words, generator)).mean()

    def logits(self, x0: Tensor, words: Words, generator: torch.Generator) -> Tensor:
        """(B,), of latents with noise."""
        x, _, t = noised(self.online.schedule, x0, 0, 1, generator)
        with fast():
            x = x.to(memory_format=torch.channels_last)
            features = bottleneck(self.online.unet, x, t, words)
        logits: Tensor = self.network(features.float())
        return logits
