"""Stage e2: texture (paper, section 3.3). A short GAN fine-tune of a LoRA of very low rank.

Feature matching leaves pictures smooth. A discriminator on frozen features (Projected GAN, as in
StyleGAN-T, arXiv 2301.09515, and ADD, arXiv 2311.17042) tells the one-step model's latents from the
multi-step model's; its features are those of the offline U-Net's down blocks, at two noise levels,
and it reads the prompt. So few weights can change that what stands where cannot. They are added to
the U-Net at the end. Either of the GAN and the eq. 10 beside it may be left out, which says what
each of the two does.
"""

import dataclasses
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sdxs.model.text import Words
from sdxs.train.parts.denoiser import leave
from sdxs.train.parts.features import encoder_of, of_unet
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.lora import lora, merged
from sdxs.train.parts.losses import DISTS, feature_matching, hinge, steepness, unmasked
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast
from sdxs.train.run.options import ScaledOptions, option, positive
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP

LEVELS = (20, 300)  # timesteps at which latents are looked at
TARGETS = r".*(to_q|to_k|to_v|to_out\.0|conv1|conv2)"
PENALTY = 0.1  # of the gradient on real features (R1)


class Heads(nn.Module):
    """Logits, one map per feature map, of whether latents are real; they read the prompt too."""

    def __init__(self, channels: Sequence[int], text: int, width: int = 64) -> None:
        super().__init__()
        self.looks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, size, affine=False),
                nn.Conv2d(size, width, 1), nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(0.2),
            )
            for size in channels
        )  # fmt: skip
        self.plain = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels)
        self.reads = nn.ModuleList(nn.Linear(text, width) for _ in channels)

    def forward(self, features: Sequence[Tensor], said: Tensor) -> list[Tensor]:
        """features: (B, size, h, w) each. said: (B, D), of a caption."""
        out = []
        for look, plain, read, feature in zip(
            self.looks, self.plain, self.reads, features, strict=True
        ):
            h = look(feature)
            match = (h * read(said)[:, :, None, None]).mean(1, keepdim=True)  # projection
            out.append(plain(h) + match)
        return out


class Options(ScaledOptions, steps=400, batch=32, lr=1e-4, seed=11):
    offline: Path = stage.needs("whose features tell the two apart", *MULTI_STEP)
    text: Path | None = stage.takes("whose text encoders read the prompts instead", "text")
    pairs: Path = stage.needs("its noises and pictures", "pairs")
    student: Path = stage.needs("the one-step U-Net to begin with", *ONE_STEP, default="distill")
    rank: int = option(4, "of the LoRA", type=positive)
    gan: float = option(0.02, "weight of the GAN; 0 is off")
    matching: float = option(1.0, "weight of eq. 10 beside it; 0 is off")
    dists: bool = option(False, DISTS, recorded="given")


def train(options: Options) -> None:
    """Leave a one-step model in `run`. Raises TrainingError."""
    if not (options.gan or options.matching):
        raise loop.TrainingError("nothing to learn by: give --gan, --matching or both")
    model = Model.load(options.offline, options.text)
    data = Pairs(options.pairs, side=model.resolution)
    student = model.fit(options.student)
    facts = {"begins_with": loop.fingerprint(student.unet), **model.facts, **data.facts}
    torch.manual_seed(options.seed)
    lora(student.unet, options.rank, TARGETS, "texture")
    sizes = model.unet.config["block_out_channels"] * len(LEVELS)
    heads = Heads(sizes, model.text.width).to(DEVICE)
    learner = Learner("student", student.unet, options.lr, 0.99, optimizer="student_optimizer",
                      foreach=False, scale=options.scale, betas=(0.0, 0.99),
                      weight_decay=0.0, fused=None)  # fmt: skip
    judge = Learner("heads", heads, 10 * options.lr, optimizer="heads_optimizer", clip=None,
                    scale=dataclasses.replace(options.scale, checkpointing=False),
                    betas=(0.0, 0.99), fused=None)  # fmt: skip
    encode = encoder_of(None, model.unet)

    def look(x0: Tensor, noise: Tensor, words: Words) -> list[Tensor]:
        """What the offline U-Net sees in latents, at each of the levels."""
        out = []
        for level in LEVELS:
            t = torch.full((len(x0),), level, device=DEVICE)
            with fast():
                out += of_unet(model.unet, model.schedule.add_noise(x0, noise, t), t, words)
        return [feature.float() for feature in out]

    drawn: deque[tuple[Tensor, Tensor, Tensor, Words]] = deque()  # for the judge, then the student

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Words]:
        """Noise, latents, the noise that the judge sees them under, and what is said of them."""
        noise, target, texts = data.batch(options.at_once, generator)
        fresh = torch.randn(noise.shape, generator=generator)
        noise, target, fresh = (part.to(DEVICE) for part in (noise, target, fresh))
        return noise, target, fresh, model.embed(texts)

    def judging(generator: torch.Generator) -> MicroBatch:
        drawn.append(draw(generator))
        noise, target, fresh, words = drawn[-1]
        with torch.no_grad():
            ours = student.one_step(noise, words)
            seen, made = (look(x0, fresh, words) for x0 in (target, ours))
        seen = [feature.requires_grad_() for feature in seen]
        reals, fakes = heads(seen, words.said), heads(made, words.said)
        penalty = steepness(reals, seen)
        judged = hinge(reals, fakes)
        logged = {"judged": judged.item(), "penalty": penalty.item()}
        return MicroBatch(judged + PENALTY * penalty, logged)

    def passing(generator: torch.Generator) -> MicroBatch:
        noise, target, fresh, words = drawn.popleft() if options.gan else draw(generator)
        ours = student.one_step(noise, words)
        loss, logged = torch.zeros((), device=DEVICE), {}
        if options.gan:
            loss = options.gan * unmasked(heads(look(ours, fresh, words), words.said))
        if options.matching:
            with fast():
                matching = feature_matching(encode, ours, target, words, dists=options.dists)
            loss, logged["matching"] = loss + options.matching * matching, matching.item()
        return MicroBatch(loss, logged)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        factor = loop.trapezoid(index, options.steps, warmup=20)
        logged = judge.learn(generator, factor, judging) if options.gan else {}
        heads.requires_grad_(False)
        logged |= learner.learn(generator, factor, passing)
        heads.requires_grad_(True)
        return logged

    parts = {**learner.parts, **(judge.parts if options.gan else {})}
    frozen = model.networks
    with stage.trained(options, parts, step, facts, flat=loop.FLAT, frozen=frozen):
        learner.settle()
        merged(student.unet)
        leave(student, options.text or options.offline, options.run)


main = stage.main(Options, train, __name__)
