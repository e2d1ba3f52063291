"""The adversarial half of distillation: a discriminator of painted latents and of real pictures'.

DMD2 (arXiv 2405.14867, section 4.3) adds such a loss on real pictures to score distillation, so
that the student is not held to what the multi-step model can do. Here the discriminator is small,
sees latents and words, and begins from nothing, or is heads on the features of another network, of
the online model, as theirs, or of a frozen one (projected GAN, arXiv 2111.01007). It is trained as
in R3GAN (arXiv 2501.05441): a relativistic loss and gradient penalties on both sides. Knows nothing
of what the student is.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from sdxs.errors import one_line
from sdxs.model.text import Words
from sdxs.train.parts.features import Encode
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.losses import relativistic, steepness
from sdxs.train.parts.models import LATENT_CHANNELS
from sdxs.train.run.loop import TrainingError
from sdxs.train.run.machine import placed
from sdxs.train.run.options import Scale

DISCRIMINATOR = "discriminator.safetensors"  # in a run's folder
NOISE = 0.2  # the most on real and painted latents alike, before the discriminator sees them
PENALTY = 1.0  # weight of both gradient penalties; with less it runs away from the student

# Latents (B, 4, h, w), real and painted, that share their captions; these; chance.
Seen = tuple[Tensor, Tensor, Words, torch.Generator]


class Discriminator(nn.Module):
    """How real latents (B, 4, h, w) look beside their prompts: logits (B,).

    Five convolutions, two of which halve; before the last two the cells attend to the words.
    text_width: of their states. said_width: of what is said as a whole, if that is another.
    """

    def __init__(self, text_width: int, width: int = 96, said_width: int | None = None) -> None:
        super().__init__()

        def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 3, stride, 1)

        wide = 2 * width
        self.first = conv(LATENT_CHANNELS, width)
        self.before = nn.ModuleList([conv(width, width), conv(width, wide, 2), conv(wide, wide)])
        self.after = nn.ModuleList([conv(wide, wide, 2), conv(wide, wide)])
        self.words = nn.Linear(text_width, wide)
        self.said = nn.Linear(said_width or text_width, wide)
        self.out = nn.Conv2d(wide, 1, 1)

    def forward(self, latents: Tensor, words: Words) -> Tensor:
        h = F.leaky_relu(self.first(latents), 0.2)
        for layer in self.before:
            h = residual(layer, h)
        states = self.words(words.states)
        cells = h.flatten(2).transpose(1, 2)  # (B, h w, C)
        heard = F.scaled_dot_product_attention(cells, states, states)
        h = h + heard.transpose(1, 2).reshape(h.shape)
        for layer in self.after:
            h = residual(layer, h)
        return judged(h, self.said, self.out, words)


def residual(layer: nn.Module, h: Tensor) -> Tensor:
    """The layer beside the identity, where the shapes allow it."""
    out = F.leaky_relu(layer(h), 0.2)
    return h + out if out.shape == h.shape else out


def judged(h: Tensor, said: nn.Module, out: nn.Module, words: Words) -> Tensor:
    """Logits (B,) of features (B, C, h, w): how real they are, and how well they fit the words.

    The second by projection of what is said (arXiv 1802.05637).
    """
    fits = (h.mean((2, 3)) * said(words.said)).mean(1)
    logits: Tensor = out(h).flatten(1).mean(1) + fits
    return logits


class FeatureDiscriminator(nn.Module):
    """The same, by heads on the features of a network that is trained by others, or frozen.

    encode: latents and prompts to features, of so many channels each. In DMD2 they are the
    online model's, which the discriminator's loss trains along (`shared`); here it trains the heads
    alone, so that the scores stay what eq. 1 makes them.
    """

    def __init__(
        self, encode: Encode, sizes: Sequence[int], said_width: int, width: int = 96
    ) -> None:
        super().__init__()
        self.encode = encode
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, size), nn.Conv2d(size, width, 3, 1, 1), nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(0.2),
            )
            for size in sizes
        )  # fmt: skip
        self.said = nn.ModuleList(nn.Linear(said_width, width) for _ in sizes)
        self.out = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in sizes)

    def forward(self, latents: Tensor, words: Words) -> Tensor:
        features = self.encode(latents, words)
        rows = zip(self.heads, self.said, self.out, features, strict=True)
        logits = [judged(head(feature), said, out, words) for head, said, out, feature in rows]
        return torch.stack(logits).mean(0)


class Adversary:
    """A discriminator in training, and what it asks of the student.

    micro_batches: in how many an update is computed, over all ranks.
    """

    def __init__(self, discriminator: nn.Module, lr: float, micro_batches: int = 1) -> None:
        self.network = placed(discriminator)
        self.learner = Learner(
            "discriminator", self.network, lr, optimizer="discriminator_optimizer", clip=None,
            scale=Scale(micro_batches), betas=(0.0, 0.99), weight_decay=0.0,
        )  # fmt: skip

    def follow(self, seen: Iterable[Seen]) -> dict[str, float]:
        """One update of the discriminator, by this rank's micro-batches, which have chance of their
        own; means of what is logged."""
        turns = iter(seen)
        return self.learner.learn(torch.Generator(), 1.0, lambda _: self.following(*next(turns)))

    def following(
        self, real: Tensor, fake: Tensor, words: Words, generator: torch.Generator
    ) -> MicroBatch:
        """What it learns of latents (B, 4, h, w) that share their captions."""
        real, fake = (x.requires_grad_() for x in disguised(real, fake, generator))
        with sdpa_kernel(SDPBackend.MATH):  # the others cannot be derived twice
            ours, theirs = self.network(real, words), self.network(fake, words)
            loss = relativistic(ours, theirs)
            steep = steepness([ours], [real]) + steepness([theirs], [fake])
        told = {"discriminator": loss.item(), "steepness": steep.item()}
        return MicroBatch(loss + PENALTY * steep, told)

    def loss(self, real: Tensor, fake: Tensor, words: Words, generator: torch.Generator) -> Tensor:
        """The student's: that what it painted should look as real as what is."""
        self.network.requires_grad_(False)
        real, fake = disguised(real, fake, generator)
        with torch.no_grad():
            wanted = self.network(real, words)
        loss = relativistic(self.network(fake, words), wanted)
        self.network.requires_grad_(True)
        return loss


def disguised(real: Tensor, fake: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Both shifted and with noise, a pair alike, so that the discriminator does not live on what is
    finer, nor knows its few renders by heart."""
    strength = NOISE * torch.rand(len(real), 1, 1, 1, generator=generator)
    noises = (strength * torch.randn(real.shape, generator=generator) for _ in range(2))
    moved = shifted(torch.cat((real, fake)), generator).chunk(2)
    return [x + noise.to(x.device) for x, noise in zip(moved, noises, strict=True)]


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Latents (B, 4, h, w) moved by at most a cell each way: what pleases a network in one place
    alone shows nothing."""
    down, right = torch.randint(3, (2,), generator=generator).tolist()
    height, width = x.shape[2:]
    return F.pad(x, (1, 1, 1, 1), mode="reflect")[..., down : down + height, right : right + width]


def leave_discriminator(network: nn.Module, run: Path) -> None:
    """For a later run to go on with."""
    state = network.state_dict()
    save_file({name: part.contiguous() for name, part in state.items()}, run / DISCRIMINATOR)


def go_on(network: nn.Module, run: Path) -> None:
    """Give a discriminator the weights that an earlier run left. Raises TrainingError."""
    try:
        network.load_state_dict(load_file(run / DISCRIMINATOR))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"no such discriminator in {run / DISCRIMINATOR} ({one_line(error)})"
        ) from None
