"""What supervises painted latents beside scores: real pictures, by a discriminator and a reader.

Losses on latents alone, so that whatever painted them, a U-Net or a control, can be trained by
them. The captions are those of renders, or of a folder's pictures (`real`), whose latents are real
to the discriminator (`adversary`, `shared`). Of renders a frozen reader says what is missing
(`reward`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.model.text import Words
from sdxs.storybook.world.captions import Caption, as_typed, describe
from sdxs.storybook.world.scenes import THINGS
from sdxs.train.parts import reward
from sdxs.train.parts.adversary import (
    Adversary,
    Discriminator,
    FeatureDiscriminator,
    Seen,
    go_on,
    leave_discriminator,
    shifted,
)
from sdxs.train.parts.autoencoders import Autoencoder
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.latents import LatentSet, encode_scenes
from sdxs.train.parts.learner import MicroBatch
from sdxs.train.parts.models import LATENT_CHANNELS
from sdxs.train.parts.real import HELP as PICTURES
from sdxs.train.parts.real import Real, RealPictures, encode_pictures
from sdxs.train.parts.shared import Shared
from sdxs.train.parts.shown import open_reader
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, short_attention
from sdxs.train.run.options import ScaledOptions, option, rate

# A network of its own, or heads on the features of the online model or of the first reader, or one
# that the online model learns along with.
DISCRIMINATORS = ("apart", "online", "reader", "dmd2")


class SupervisionOptions(ScaledOptions):
    """What a stage is asked whose latents may be supervised by real pictures."""

    autoencoder: Path | None = stage.takes(
        "whose latents real pictures are encoded to", "autoencoder", "decoder", "upscale"
    )
    adversary: float = option(
        0.0, "weight of the adversarial loss, to which renders are real; 0 is off", recorded="given"
    )
    real: str | None = option(None, PICTURES, metavar="PICTURES", recorded="never")
    reward: float = option(
        0.0, "weight of what the reader finds missing of the caption; 0 is off", recorded="given"
    )
    reader: tuple[Path, ...] = stage.takes(
        "what the reward is read by; of several, another each time", "reader", many=True
    )
    pictures: int = option(12000, "renders that are real", recorded="never")
    often: tuple[str, ...] = option(
        (), "kinds of things, one of which half of the renders hold", nargs="*", choices=THINGS,
        recorded="given",
    )  # fmt: skip
    discriminator: str = option(
        DISCRIMINATORS[0],
        "a network of its own, or heads on the features of the online model or of the reader; or "
        "DMD2's, which the online model learns along with",
        choices=DISCRIMINATORS, recorded="never",
    )  # fmt: skip
    against: Path | None = stage.takes(
        "a run of this kind whose discriminator goes on", "distill", "steer", "style_distill"
    )
    discriminator_lr: float = option(
        1e-4,
        "learning rate of the discriminator, if it is not DMD2's",
        recorded="never",
        type=rate,
    )

    @property
    def supervised(self) -> bool:
        """Whether real pictures have a part in it."""
        return bool(self.adversary or self.reward)

    def check_sources(self, *scores: str) -> None:
        """scores: the options that scores need, all or none of them. Raises TrainingError for some
        of them, for nothing to learn by, and for what is missing to what is asked."""
        given = [getattr(self, name) is not None for name in scores]
        *most, last = (f"--{name}" for name in scores)
        named = f"{', '.join(most)} and {last}"
        if any(given) != all(given):
            number = {2: "both", 3: "all three"}[len(scores)]
            raise loop.TrainingError(f"scores need {number}, {named}")
        if not (all(given) or self.supervised):
            raise loop.TrainingError(f"nothing to learn by: give {named}, --adversary or --reward")
        if self.real and (
            self.reward or self.reader or self.often or self.discriminator == "reader"
        ):
            raise loop.TrainingError(
                "--reward, --often and whatever a reader does are of renders, not of --real"
            )
        if self.supervised and self.autoencoder is None:
            raise loop.TrainingError("adversary and reward need --autoencoder, for real pictures")
        chosen = self.discriminator != DISCRIMINATORS[0]
        needing = {"against": self.against, "real": self.real, "discriminator": chosen}
        for name, asked in needing.items():
            if asked and not self.adversary:
                raise loop.TrainingError(f"--{name} goes with --adversary")


@dataclass(frozen=True)
class Renders(Real):
    """Some renders; texts: their captions as people type them.

    kinds: of their things, (B, 2). seen: where those are, shares of cells (B, 2, h / 2, w / 2).
    held: where they must be, likewise; None for wherever the caption lets them.
    """

    captions: list[Caption]
    kinds: Tensor
    seen: Tensor
    held: Tensor | None = None


class Supervision:
    """The losses that are asked for; `parts` is what of them has state, `facts` what is recorded.

    vae: whose encoder the real pictures go through. model: whose pictures' size they have, and
    whose text encoder is heard. online: on whose features the discriminator may look. artist: the
    name of who redraws the renders, one of ARTISTS. Raises TrainingError.

    data: the real pictures.
    """

    def __init__(
        self,
        options: SupervisionOptions,
        vae: Autoencoder,
        model: Model,
        *,
        online: Denoiser | None = None,
        artist: str | None = None,
    ) -> None:
        if not options.reader and (options.reward or options.discriminator == "reader"):
            raise loop.TrainingError("this needs --reader, what sdxs.train.reader leaves")
        if options.discriminator in ("online", "dmd2") and online is None:
            raise loop.TrainingError("a discriminator on the online model's features needs scores")
        self.options = options
        self.data: LatentSet | RealPictures
        if options.real:
            self.data = encode_pictures(options.run, vae, options.real, model.resolution)
            self.facts: dict[str, Any] = {**self.data.facts}
        else:
            tiny = vae.network
            if not isinstance(tiny, AutoencoderTiny):
                raise loop.TrainingError(
                    f"--autoencoder is an {type(tiny).__name__}, and renders are encoded by an "
                    "AutoencoderTiny: give one, or pictures by --real"
                )
            self.data = shown = encode_scenes(
                options.run, tiny, options.pictures, options.seed, model.resolution, artist
            )
            self.facts = {
                "encoder_of_renders": loop.fingerprint(tiny.encoder),
                "pictures": options.pictures,
            }
            self.often = torch.tensor([
                i for i, scene in enumerate(shown.scenes)
                if any(thing.kind in options.often for thing in scene.things)
            ])  # fmt: skip
        self.parts: dict[str, loop.Stateful] = {}
        self.adversary: Adversary | Shared | None = None
        self.readers = [open_reader(folder) for folder in options.reader]
        if options.adversary:
            torch.manual_seed(options.seed)
            self.adversary = self.opponent(model, online)
            if options.against:
                go_on(self.adversary.network, options.against)
                self.facts["against"] = loop.fingerprint(self.adversary.network)
            self.parts["discriminator"] = self.adversary.network
            self.facts["discriminator"] = options.discriminator
            if isinstance(self.adversary, Adversary):
                self.parts |= self.adversary.learner.parts
                self.facts["discriminator_lr"] = options.discriminator_lr
        if self.readers:
            self.facts["reader"] = [loop.fingerprint(each) for each in self.readers]

    def opponent(self, model: Model, online: Denoiser | None) -> Adversary | Shared:
        """As asked for, of the prompts that a model reads."""
        kind, said = self.options.discriminator, model.text.width
        network: nn.Module
        if online is not None and kind == "dmd2":
            return Shared(online)
        if online is not None and kind == "online":
            sizes = online.unet.config["block_out_channels"]
            network = FeatureDiscriminator(encoder_of(None, online.unet), sizes, said)
        elif kind == "reader":
            reader = self.readers[0]
            network = FeatureDiscriminator(reader.features, reader.sizes, said)
        else:
            width = model.unet.config["cross_attention_dim"]
            network = Discriminator(width, said_width=said)
        return Adversary(network, self.options.discriminator_lr, self.options.micro_batches)

    def leave(self, run: Path) -> None:
        """The discriminator, for a later run to go on with."""
        if self.adversary:
            leave_discriminator(self.adversary.network, run)

    def draw(self, count: int, generator: torch.Generator) -> Real:
        """Some at random, renders each with a caption made anew."""
        if isinstance(self.data, RealPictures):
            return self.data.draw(count, generator)
        index, rng = self.data.rows(count, generator), loop.plain(generator)
        if len(self.often):
            index[: count // 2] = self.often[index[: count // 2] % len(self.often)]
        captions = [describe(self.data.scenes[i], rng) for i in index.tolist()]
        real = self.data.latents[index].float().to(DEVICE)
        texts = [as_typed(each.text, rng) for each in captions]
        seen = self.data.seen[index].float() / 255
        return Renders(index, real, texts, captions, self.data.kinds[index], seen)

    @property
    def also(self) -> nn.Module | None:
        """What the online model learns along with, so that nothing begins before the scores."""
        return self.adversary.network if isinstance(self.adversary, Shared) else None

    def beside(self, online: MicroBatch, seen: Seen) -> MicroBatch:
        """What teaches the online model, and with it a discriminator that it learns along with."""
        if not isinstance(self.adversary, Shared):
            return online
        more = self.adversary.following(*seen)
        return MicroBatch(online.loss + more.loss, {**online.logged, **more.logged})

    def pull(
        self, x0: Tensor, real: Real, words: Words, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """All losses' gradient on x0 (B, 4, h, w), their values, and their gradients' norms.

        words: of the texts of what is real.
        """
        leaf = x0.clone().requires_grad_()
        gradient, logged = torch.zeros_like(x0), {}

        def add(name: str, loss: Tensor) -> None:
            nonlocal gradient
            with short_attention():
                (part,) = torch.autograd.grad(loss, leaf)
            gradient = gradient + part
            logged[f"pull_{name}"] = part.norm().item()

        if self.adversary:
            with short_attention():
                fooling = self.adversary.loss(real.real, leaf, words, generator)
            logged["fooling"] = fooling.item()
            add("adversary", self.options.adversary * fooling)
        if self.options.reward and isinstance(real, Renders):
            missing = self.missing(leaf, real, generator)
            logged |= {name: part.item() for name, part in missing.items()}
            if missing:
                add("reward", self.options.reward * reward.total(missing))
        return gradient, logged

    def missing(
        self, latents: Tensor, renders: Renders, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The reward's parts, of those latents whose caption was typed to its end."""
        pairs = enumerate(zip(renders.texts, renders.captions, strict=True))
        rows = [i for i, (text, caption) in pairs if text.endswith(caption.text)]
        if not rows:
            return {}
        reader = self.readers[int(torch.randint(len(self.readers), (1,), generator=generator))]
        strength = reader.looked * torch.rand(len(rows), 1, 1, 1, generator=generator)
        noise = strength * torch.randn(latents[rows].shape, generator=generator)
        seen, held = latents[rows] + noise.to(DEVICE), renders.held
        if held is not None:
            cells = F.interpolate(held[rows].to(DEVICE), seen.shape[2:])
            seen = torch.cat((seen, cells), 1)  # so that both are shifted alike
        seen = shifted(seen, generator)
        with fast():
            reading = reader(
                seen[:, :LATENT_CHANNELS].contiguous(memory_format=torch.channels_last)
            )
        parts = reward.terms(reading, reward.Wanted.of([renders.captions[i] for i in rows], DEVICE))
        if held is not None:
            kinds = renders.kinds[rows].to(DEVICE)
            parts["held"] = reward.held(reading, kinds, seen[:, LATENT_CHANNELS:])
        return parts
