"""What supervises painted latents beside scores: renders, by a discriminator and by a reader.

Losses on latents alone, so that whatever painted them, a U-Net or a control, can be trained by
them. The captions are those of renders, whose latents are real to the discriminator
(`adversary`) and of which a frozen reader says what is missing (`reward`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.errors import one_line
from sdxs.model.text import Words
from sdxs.storybook.world.captions import Caption, as_typed, describe
from sdxs.storybook.world.scenes import THINGS
from sdxs.train.parts import reward
from sdxs.train.parts.adversary import Adversary, Discriminator, FeatureDiscriminator, shifted
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.models import LATENT_CHANNELS
from sdxs.train.parts.shown import open_reader
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, short_attention
from sdxs.train.run.options import TrainingOptions, option

DISCRIMINATOR = "discriminator.safetensors"  # in a run's folder
# A network of its own, or heads on the features of the online model or of the first reader.
DISCRIMINATORS = ("apart", "online", "reader")


class SupervisionOptions(TrainingOptions):
    """What a stage is asked whose latents may be supervised by renders."""

    autoencoder: Path | None = stage.takes(
        "whose latents renders are encoded to", "autoencoder", "decoder", "upscale"
    )
    adversary: float = option(
        0.0, "weight of the adversarial loss, to which renders are real; 0 is off", recorded="given"
    )
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
        "a network of its own, or heads on the features of the online model or of the reader",
        choices=DISCRIMINATORS, recorded="never",
    )  # fmt: skip
    against: Path | None = stage.takes(
        "a run of this kind whose discriminator goes on", "distill", "steer", "style_distill"
    )
    discriminator_lr: float = option(1e-4, "learning rate of the discriminator", recorded="never")

    @property
    def supervised(self) -> bool:
        """Whether renders have a part in it."""
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
        if self.supervised and self.autoencoder is None:
            raise loop.TrainingError("adversary and reward need --autoencoder, for renders")
        if self.against and not self.adversary:
            raise loop.TrainingError("--against goes with --adversary")


@dataclass(frozen=True)
class Renders:
    """Some renders: their places in the set, latents (B, 4, h, w), what they show, and that as
    people type it.

    kinds: of their things, (B, 2). held: where those must be, shares of cells (B, 2, h / 2, w / 2);
    None for wherever the caption lets them.
    """

    index: Tensor
    real: Tensor
    captions: list[Caption]
    texts: list[str]
    kinds: Tensor
    held: Tensor | None = None


class Supervision:
    """The losses that are asked for; `parts` is what of them has state, `facts` what is recorded.

    vae: whose encoder the renders go through. model: whose pictures' size they have, and whose text
    encoder is heard. online: on whose features the discriminator may look. artist: the name of who
    redraws the renders, one of ARTISTS. Raises TrainingError.
    """

    def __init__(
        self,
        options: SupervisionOptions,
        vae: AutoencoderTiny,
        model: Model,
        *,
        online: Denoiser | None = None,
        artist: str | None = None,
    ) -> None:
        if not options.reader and (options.reward or options.discriminator == "reader"):
            raise loop.TrainingError("this needs --reader, what sdxs.train.reader leaves")
        if options.discriminator == "online" and online is None:
            raise loop.TrainingError("a discriminator on the online model's features needs scores")
        self.options = options
        self.renders = encode_scenes(
            options.run, vae, options.pictures, options.seed, model.resolution, artist
        )
        self.facts: dict[str, Any] = {
            "encoder_of_renders": loop.fingerprint(vae.encoder),
            "pictures": options.pictures,
        }
        self.often = torch.tensor([
            i for i, scene in enumerate(self.renders.scenes)
            if any(thing.kind in options.often for thing in scene.things)
        ])  # fmt: skip
        self.parts: dict[str, loop.Stateful] = {}
        self.readers = [open_reader(folder) for folder in options.reader]
        if options.adversary:
            torch.manual_seed(options.seed)
            network = self.discriminator(model.text.width, online)
            if options.against:
                go_on(network, options.against / DISCRIMINATOR)
                self.facts["against"] = loop.fingerprint(network)
            self.adversary = Adversary(network, options.discriminator_lr)
            self.parts |= self.adversary.learner.parts
            names = ("discriminator", "discriminator_lr")
            self.facts |= {name: getattr(options, name) for name in names}
        if self.readers:
            self.facts["reader"] = [loop.fingerprint(each) for each in self.readers]

    def discriminator(self, width: int, online: Denoiser | None) -> nn.Module:
        """As asked for, of embeddings of this width."""
        if self.options.discriminator == "reader":
            reader = self.readers[0]
            return FeatureDiscriminator(reader.features, reader.sizes, width)
        if online is not None and self.options.discriminator == "online":
            sizes = online.unet.config["block_out_channels"]
            return FeatureDiscriminator(encoder_of(None, online.unet), sizes, width)
        return Discriminator(width)

    def leave(self, run: Path) -> None:
        """The discriminator, for a later run to go on with."""
        if self.options.adversary:
            state = self.adversary.network.state_dict()
            save_file({name: part.contiguous() for name, part in state.items()},
                      run / DISCRIMINATOR)  # fmt: skip

    def draw(self, count: int, generator: torch.Generator) -> Renders:
        """Some renders at random, each with a caption made anew."""
        index, rng = self.renders.rows(count, generator), loop.plain(generator)
        if len(self.often):
            index[: count // 2] = self.often[index[: count // 2] % len(self.often)]
        captions = [describe(self.renders.scenes[i], rng) for i in index.tolist()]
        real = self.renders.latents[index].float().to(DEVICE)
        texts = [as_typed(each.text, rng) for each in captions]
        return Renders(index, real, captions, texts, self.renders.kinds[index])

    def pull(
        self, x0: Tensor, renders: Renders, words: Words, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Update the discriminator on x0 (B, 4, h, w); all losses' gradient on it, their values,
        and the norms of their gradients.

        words: the renders' texts.
        """
        leaf = x0.clone().requires_grad_()
        gradient, logged = torch.zeros_like(x0), {}

        def add(name: str, loss: Tensor) -> None:
            nonlocal gradient
            with short_attention():
                (part,) = torch.autograd.grad(loss, leaf)
            gradient = gradient + part
            logged[f"pull_{name}"] = part.norm().item()

        if self.options.adversary:
            logged |= self.adversary.follow(renders.real, x0, words, generator)
            with short_attention():
                fooling = self.adversary.loss(renders.real, leaf, words, generator)
            logged["fooling"] = fooling.item()
            add("adversary", self.options.adversary * fooling)
        if self.options.reward:
            missing = self.missing(leaf, renders, generator)
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


def go_on(network: nn.Module, file: Path) -> None:
    """Give a discriminator the weights that an earlier run left. Raises TrainingError."""
    try:
        network.load_state_dict(load_file(file))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise loop.TrainingError(f"no such discriminator in {file} ({one_line(error)})") from None
