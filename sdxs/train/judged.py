"""What painted latents are judged by beside scores: adversary, reader's reward, what was before.

Each is a loss on latents alone, so that whatever painted them, a U-Net, a control, a style, can be
trained by it. The captions are those of renders, whose latents are real to the critic.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.captions import Caption, as_typed, describe
from sdxs.train import loop, reward
from sdxs.train.adversary import Adversary, Critic, FeatureCritic
from sdxs.train.latents import encode_scenes
from sdxs.train.machine import DEVICE, fast, placed, short_attention
from sdxs.train.models import FACTOR
from sdxs.train.reading import Reader
from sdxs.train.segmented import eased

LOOKED = 0.3  # the most noise on latents that the reader is shown, in their own units
KEPT = 0.1  # share of the keep term's weight that is left at last


@dataclass(frozen=True)
class Weights:
    """Of the losses; 0 leaves one out."""

    adversary: float = 0.0
    reward: float = 0.0
    keep: float = 0.0

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))


@dataclass(frozen=True)
class Drawn:
    """Renders and what is painted of their captions: real latents (B, 4, h, w), captions, the same
    as people type them, noise (B, 4, h, w)."""

    real: Tensor
    captions: list[Caption]
    texts: list[str]
    noise: Tensor


class Judged:
    """The losses that are asked for; `parts` is what of them has state.

    autoencoder: encodes `pictures` renders, cached in `folder`. reader: of the reward, or None.
    online: on whose features the critic looks; None for one that stands apart. before: paints what
    is to be kept to, from noise and embeddings. Raises TrainingError.
    """

    def __init__(
        self,
        folder: Path,
        weights: Weights,
        *,
        autoencoder: Path | None,
        reader: Path | None,
        online: UNet2DConditionModel | None = None,
        before: Callable[[Tensor, Tensor], Tensor],
        side: int,
        text_width: int,
        pictures: int,
        critic_lr: float,
        seed: int,
    ) -> None:
        if autoencoder is None:
            raise loop.TrainingError("adversary, reward and keep need --autoencoder, for renders")
        if weights.reward and reader is None:
            raise loop.TrainingError("the reward needs --reader")
        self.weights, self.before = weights, before
        vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
        self.renders = encode_scenes(folder, vae, pictures, seed, FACTOR * side)
        self.settings: dict[str, Any] = {
            "judged": dataclasses.asdict(weights),
            "encoder_of_renders": loop.fingerprint(vae.encoder),
            "pictures": pictures,
        }
        self.parts: dict[str, loop.Stateful] = {}
        if weights.adversary:
            torch.manual_seed(seed)
            critic = FeatureCritic(online, text_width) if online else Critic(text_width)
            self.adversary = Adversary(critic, critic_lr)
            self.parts |= self.adversary.parts
            self.settings |= {"critic_lr": critic_lr, "critic": "online" if online else "apart"}
        if weights.reward and reader:
            self.reader = placed(Reader.load(reader / "reader"))
            self.settings["reader"] = loop.fingerprint(self.reader)

    def draw(self, count: int, generator: torch.Generator) -> Drawn:
        """Some renders at random, and fresh noise."""
        index, rng = self.renders.rows(count, generator), loop.plain(generator)
        captions = [describe(self.renders.scenes[i], rng) for i in index.tolist()]
        real = self.renders.latents[index].float()
        texts = [as_typed(caption.text, rng) for caption in captions]
        noise = torch.randn(real.shape, generator=generator)
        return Drawn(real.to(DEVICE), captions, texts, noise.to(DEVICE))

    def pull(
        self,
        x0: Tensor,
        drawn: Drawn,
        context: Tensor,
        generator: torch.Generator,
        *,
        done: int,
        whole: int,
    ) -> tuple[Tensor, dict[str, float]]:
        """Update the critic on x0 (B, 4, h, w); the gradient on it of all losses, and their values.

        context: embeddings of the texts (B, L, D). done: of `whole` steps.
        """
        told: dict[str, float] = {}
        leaf, losses = x0.detach().clone().requires_grad_(), []
        if self.weights.adversary:
            told |= self.adversary.follow(drawn.real, x0.detach(), context, generator)
            with short_attention():
                fooling = self.adversary.loss(drawn.real, leaf, context, generator)
            told["fooling"] = fooling.item()
            losses.append(self.weights.adversary * fooling)
        if self.weights.reward:
            missing = self.missing(leaf, drawn, generator)
            told |= {name: part.item() for name, part in missing.items()}
            losses.append(self.weights.reward * reward.total(missing))
        if self.weights.keep:
            with torch.no_grad():
                first = self.before(drawn.noise, context)
            moved = F.mse_loss(leaf, first)
            told["moved"] = moved.item()
            ends = self.weights.keep, KEPT * self.weights.keep
            losses.append(eased(done, whole, ends) * moved)
        with short_attention():
            (gradient,) = torch.autograd.grad(torch.stack(losses).sum(), leaf)
        return gradient, told

    def missing(
        self, latents: Tensor, drawn: Drawn, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The reward's parts, of those latents whose caption was typed to its end."""
        pairs = zip(drawn.texts, drawn.captions, strict=True)
        rows = [i for i, (text, caption) in enumerate(pairs) if text.endswith(caption.text)]
        strength = LOOKED * torch.rand(len(rows), 1, 1, 1, generator=generator)
        noise = strength * torch.randn(latents[rows].shape, generator=generator)
        with fast():
            noisy = latents[rows] + noise.to(DEVICE)
            reading = self.reader(noisy.to(memory_format=torch.channels_last))
        return reward.terms(reading, reward.Wanted.of([drawn.captions[i] for i in rows], DEVICE))
