"""Stage g: a control for the one-step model (paper, section 3.2, "ControlNet").

The one-step U-Net stays as it is, its control learns: by feature matching alone at first, then by
segmented score distillation, where the full control steers both score models. Control images are
extracted from the pictures of the pairs. Since a pair's noise alone says what its picture shows,
a part rho of the noise is drawn anew, or the control would never be needed.

Adversary and reward (`sdxs.train.parts.supervision`) see renders, or a folder's pictures, painted
under control images of their own: beside the scores half of the batch, without `--offline` all of
it. The reward then also asks for each thing where its control image shows it; `--keep` holds what
the control that it began with follows.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.train.parts.autoencoders import Autoencoder
from sdxs.train.parts.batches import Batch
from sdxs.train.parts.control_images import control_images, depth_network
from sdxs.train.parts.controlled import Controlled, control_input, kind_of, read_control, read_full
from sdxs.train.parts.denoiser import Denoiser
from sdxs.train.parts.distillation import (
    Distillation,
    DistillationOptions,
    keeping,
    matching,
)
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.latents import LatentSet
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.real import Real
from sdxs.train.parts.segmented import Scores, plainly
from sdxs.train.parts.solver import Model
from sdxs.train.parts.supervision import Renders, Supervision, SupervisionOptions
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed
from sdxs.train.run.options import option
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP

LIT = 0.02  # mean light of a control image over a thing from which it is drawn there


class Options(DistillationOptions, SupervisionOptions, steps=1200, lr=3e-4, seed=17):
    offline: Path | None = stage.takes("the offline model, for scores", *MULTI_STEP)
    full: Path | None = stage.takes("its control", "control", "control_blocks")
    begin: Path = stage.needs(
        "the slim control to begin with", "control_blocks", "control_stem", "steer"
    )
    student: Path = stage.needs("the one-step model", *ONE_STEP, default="average")
    pairs: Path | None = stage.takes("the offline model's noises and pictures", "pairs")
    autoencoder: Path = stage.needs(
        "what makes pictures of latents", "autoencoder", "decoder", "upscale"
    )
    depth: Path | None = stage.takes("the network that sees depth, for that control", "depth")
    warmup: int = option(600, "steps of feature matching alone, at first")
    rho: float = option(1.0, "share of the noise that is drawn anew")
    keep: float = option(
        0.0, "weight of the squared error from what was painted at first; 0 is off",
        recorded="given",
    )  # fmt: skip

    def check(self, warmup: int = 0) -> None:
        self.check_sources("offline", "full", "pairs")
        if self.offline:
            super().check(warmup)


@dataclass(frozen=True)
class Rows:
    """Part of a batch: noise (B, 4, h, w), targets of the first of them, texts, control images
    (B, H, W) uint8; the real pictures that they should be like."""

    noise: Tensor
    target: Tensor
    texts: list[str]
    images: Tensor
    real: Real | None = None


Source = Callable[[int, torch.Generator], Rows]


def partly_fresh(noise: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """Noise (B, C, h, w) of which a share rho of the places is drawn anew, all channels at once."""
    places = torch.rand(len(noise), 1, *noise.shape[2:], generator=generator) < rho
    return torch.where(places, torch.randn(noise.shape, generator=generator), noise)


def from_pairs(data: Pairs, images: Tensor, rho: float) -> Source:
    """Pairs of which a share rho of the noise is drawn anew."""

    def draw(count: int, generator: torch.Generator) -> Rows:
        index = data.rows(count, generator)
        noise, target, texts = data.at(index)
        return Rows(partly_fresh(noise, rho, generator), target, texts, images[index])

    return draw


def shown_in(images: Tensor, seen: Tensor) -> Tensor:
    """Where things are, shares of cells (B, 2, h, w), of those that control images (B, H, W) show.

    A thing of which nothing is drawn yet may be anywhere: its shares become zero.
    """
    light = F.adaptive_avg_pool2d(images[:, None].float() / 255, seen.shape[2:])
    lit = (seen * light).sum((2, 3)) / seen.sum((2, 3)).clamp(min=1e-3)
    return seen * (lit > LIT)[..., None, None]


def from_real(supervision: Supervision, images: Tensor) -> Source:
    """Fresh noise for real pictures."""

    def draw(count: int, generator: torch.Generator) -> Rows:
        real = supervision.draw(count, generator)
        noise = torch.randn(real.real.shape, generator=generator)
        shown = images[real.index]
        if isinstance(real, Renders):
            real = dataclasses.replace(real, held=shown_in(shown, real.seen))
        return Rows(noise, noise[:0], real.texts, shown, real)

    return draw


def under(batch: Batch, control: nn.Module) -> Denoiser:
    """The batch's student under another control, of the same images."""
    led = batch.student.unet
    return batch.student.with_unet(Controlled(led.unet, control, led.images))


def train(options: Options) -> None:
    """Leave a control for the one-step model of `student` in `run`. Raises TrainingError."""
    model = Model.load(options.offline or options.student)
    kind: str = stage.read(options.begin)["control"]
    made_with = [options.begin]
    if options.full:
        made_with.append(options.full)
        kind_of(options.full, model.unet, kind)
    sees_depth = depth_network(kind, options.depth, *made_with)
    options.check(options.warmup)
    vae, network = Autoencoder.load(options.autoencoder), placed(read_control(options.begin))
    student = model.fit(options.student)
    unet = student.unet.eval().requires_grad_(False)
    facts: dict[str, Any] = {
        "begins_with": loop.fingerprint(network),
        "student": loop.fingerprint(unet),
        **model.facts,
        "autoencoder": loop.fingerprint(vae.network),
        "control": kind,
        "drawn_by": loop.fingerprint(sees_depth.network) if sees_depth else "",
    }
    sources: list[Source] = []
    data = scores = online = full = supervision = None
    terms, beside, parts, spent = [], [], {}, 0.0
    if options.offline and options.full and options.pairs:
        data = Pairs(options.pairs, side=model.resolution)
        online = model.fit(options.offline)
        images = control_images(options.run, kind, data.latents, vae, options.seed, sees_depth)
        full = placed(read_full(options.full, model.unet)).eval().requires_grad_(False)
        terms = [matching(encoder_of(None, model.unet), options.strength)]
        sources.append(from_pairs(data, images.images, options.rho))
        facts |= {"full": loop.fingerprint(full), **data.facts}
        spent += images.seconds
    if options.supervised:
        supervision = Supervision(options, vae, model, online=online)
        shown, folder = supervision.data, options.run / ("real" if options.real else "renders")
        scenes = shown.scenes if isinstance(shown, LatentSet) else ()
        images = control_images(folder, kind, shown.latents, vae, options.seed, sees_depth, scenes)
        sources.append(from_real(supervision, images.images))
        parts, facts = supervision.parts, facts | supervision.facts
        spent += images.seconds + shown.seconds
    if online and data:
        scores = Scores(model, online, data.guidance, options.online_lr, options.scale,
                        supervision and supervision.also)  # fmt: skip
    if options.keep:
        before = copy.deepcopy(network).eval().requires_grad_(False)
        beside.append(keeping(lambda batch: under(batch, before), options.keep))

    def draw(generator: torch.Generator) -> Batch:
        counts = (
            [options.at_once]
            if len(sources) == 1
            else [options.at_once // 2, -(-options.at_once // 2)]
        )
        rows = [source(count, generator) for source, count in zip(sources, counts, strict=True)]
        noise, target, images = (
            torch.cat([getattr(part, name) for part in rows])
            for name in ("noise", "target", "images")
        )
        seen = control_input(images)
        bind = functools.partial(Controlled, control=full, images=seen) if full else plainly
        words = model.embed([text for part in rows for text in part.texts])
        led = student.with_unet(Controlled(unet, network, seen))
        on_device = noise.to(DEVICE), words, target.to(DEVICE)
        return Batch(led, *on_device, bind, rows[-1].real)

    learner = Learner("control", network, options.lr, 0.998, scale=options.scale)
    distillation = Distillation(
        options,
        scores,
        learner,
        terms,
        draw=draw,
        draw_online=draw,
        supervision=supervision,
        beside=beside,
        warmup=options.warmup if scores else 0,
    )
    parts = {**distillation.parts, **parts}
    with stage.trained(
        options, parts, distillation.step, facts, spent=spent, frozen=model.networks
    ):
        learner.settle()
        if supervision:
            supervision.leave(options.run)
        network.half().save_pretrained(options.run / "control")  # as it ships


main = stage.main(Options, train, __name__)
