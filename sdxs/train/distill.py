"""Stage e: the one-step U-Net by scores, by an adversary, by a reader's reward, by any of them.

Scores: segmented score distillation (`sdxs.train.segmented`), some updates of the online model,
then one of the one-step model, half of whose batch are noises of pairs, for feature matching.
Adversary: a critic to which encoded renders are the real pictures (`sdxs.train.adversary`). Reward:
what a frozen reader finds missing of the caption (`sdxs.train.reward`). With scores the fresh half
of the batch is theirs, else all of it. A keep term holds the latents near those of the U-Net that it
began with, so that controls and styles made for that one stay valid. With a guard, a second reader,
the best weights on held-out captions are left, not the last ones (`sdxs.train.best`).
"""

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.storybook.captions import Caption, as_typed, describe
from sdxs.train import loop, reward, segmented, stage
from sdxs.train.adversary import Adversary
from sdxs.train.best import Best, guarded
from sdxs.train.features import encoder_of, load_encoder
from sdxs.train.latents import LatentSet, encode_scenes
from sdxs.train.machine import DEVICE, fast, placed, short_attention
from sdxs.train.models import FACTOR
from sdxs.train.pairs import Pairs
from sdxs.train.reading import Reader
from sdxs.train.segmented import ALPHA, ALPHAS, HOLD, KAPPA, Balance, Scores, eased
from sdxs.train.solver import Model, one_step

LOOKED = 0.3  # the most noise on latents that the reader is shown, in their own units
KEPT = 0.1  # share of the keep term's weight that is left at last
LOOK = 250  # steps between two looks of the guard


@dataclass(frozen=True)
class Weights:
    """Of the parts of the loss; 0 leaves one out."""

    scores: float = 1.0
    adversary: float = 0.0
    reward: float = 0.0
    keep: float = 0.0

    @property
    def renders(self) -> bool:
        """Whether captions and real pictures are of renders."""
        return bool(self.adversary or self.reward)


def captioned(
    data: LatentSet, count: int, generator: torch.Generator
) -> tuple[Tensor, list[Caption], list[str]]:
    """Random renders' latents (count, 4, h, w), their captions, and those as people type them."""
    index, rng = data.rows(count, generator), loop.plain(generator)
    captions = [describe(data.scenes[i], rng) for i in index.tolist()]
    return data.latents[index].float(), captions, [as_typed(c.text, rng) for c in captions]


def rewarded(
    reader: Reader,
    latents: Tensor,
    captions: list[Caption],
    texts: list[str],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The reward's parts of latents (B, 4, h, w), of those whose caption was typed to its end."""
    rows = [i for i, text in enumerate(texts) if text.endswith(captions[i].text)]
    strength = LOOKED * torch.rand(len(rows), 1, 1, 1, generator=generator)
    noise = strength * torch.randn(latents[rows].shape, generator=generator)
    with fast():
        seen = latents[rows] + noise.to(DEVICE)
        reading = reader(seen.to(memory_format=torch.channels_last))
    return reward.terms(reading, reward.Wanted.of([captions[i] for i in rows], DEVICE))


def train(
    run: Path,
    *,
    begin: Path,
    teacher: Path | None = None,
    pairs: Path | None = None,
    autoencoder: Path | None = None,
    reader: Path | None = None,
    guard: Path | None = None,
    weights: Weights = Weights(),
    pictures: int = 12000,
    encoder: Path | None = None,
    steps: int,
    online_steps: int,
    online_first: int,
    batch: int,
    lr: float,
    online_lr: float,
    critic_lr: float = 1.5e-4,
    guidance: float | None,
    fixed: bool,
    held_out: int = 150,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a one-step model in `run`.

    teacher, pairs: for the scores. autoencoder: for `pictures` renders, which adversary and reward
    need. encoder: whose features are matched, instead of the offline model's own. online_steps:
    updates of the online model before each of the one-step model's; online_first: those before the
    first, which count as steps. guidance: of the offline model, None for that of the pairs. fixed:
    hold alpha and kappa where they start. held_out: captions of each kind for the guard. Raises
    TrainingError.
    """
    if weights.scores and steps <= online_first:
        raise loop.TrainingError(
            f"{steps} steps are not enough: the first {online_first} are the online model's alone"
        )
    if weights.scores and (teacher is None or pairs is None):
        raise loop.TrainingError("scores need --teacher and --pairs; --scores 0 leaves them out")
    if weights.renders and autoencoder is None:
        raise loop.TrainingError("adversary and reward need --autoencoder, for real pictures")
    if weights.reward and reader is None:
        raise loop.TrainingError("the reward needs --reader")
    student = placed(UNet2DConditionModel.from_pretrained(begin / "unet"))
    model = Model.load(teacher if weights.scores and teacher else begin)
    side = student.config["sample_size"]
    settings = {
        "begins_with": loop.fingerprint(student),
        "text": loop.fingerprint(model.text),
        "batch": batch,
        "lr": lr,
    }
    parts: dict[str, loop.Stateful] = {}

    if weights.scores and teacher and pairs:
        data = Pairs(pairs)
        guidance = data.guidance if guidance is None else guidance
        online = placed(UNet2DConditionModel.from_pretrained(teacher / "unet"))
        scores, balance = Scores(model, online, guidance), Balance()
        encode = encoder_of(encoder, model.unet)
        parts |= {"balance": balance, **scores.parts}
        settings |= {
            "teacher": loop.fingerprint(model.unet),
            "pairs": {**data.settings, "count": len(data.prompts)},
            "online_steps": online_steps,
            "online_first": online_first,
            "online_lr": online_lr,
            "guidance": guidance,
            "fixed": fixed,
            "encoder": None if encoder is None else loop.fingerprint(load_encoder(encoder)),
        }
    else:
        online_first = 0
    if weights != Weights():
        settings["weights"] = dataclasses.asdict(weights)
    if weights.renders and autoencoder:
        vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
        renders = encode_scenes(run, vae, pictures, seed, FACTOR * side)
        settings |= {"autoencoder": loop.fingerprint(vae.encoder), "pictures": pictures}
    if weights.adversary:
        adversary = Adversary(model.text.config.hidden_size, critic_lr)
        parts |= adversary.parts
        settings["critic_lr"] = critic_lr
    if weights.reward and reader:
        eyes = placed(Reader.load(reader / "reader"))
        settings["reader"] = loop.fingerprint(eyes)
    if weights.keep:
        first = copy.deepcopy(student).eval().requires_grad_(False)
    if guard:
        watcher, best = placed(Reader.load(guard / "reader")), Best(student, run)
        parts["best"] = best
        settings |= {"guard": loop.fingerprint(watcher), "held_out": held_out}
    betas = (0.9 if weights.scores else 0.0, 0.99)  # a critic that moves along forbids momentum
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, betas=betas, fused=True)
    ema = EMAModel(student.parameters(), decay=0.999, foreach=True)
    parts = {"student": student, "student_optimizer": optimizer, "ema": ema, **parts}

    def paint(texts: list[str], noise: Tensor) -> Tensor:
        return one_step(student, noise, model.embed(texts), ALPHAS)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        done, whole = index - online_first, steps - online_first
        told: dict[str, float] = {}
        if weights.scores:
            loop.set_lr(scores.optimizer, online_lr * min(1.0, (index + 1) / 50))
            for _ in range(1 if done < 0 else online_steps):
                told["online"] = scores.follow_fresh(student, data, batch, generator)
            if done < 0:
                return told
        loop.set_lr(optimizer, lr * loop.trapezoid(done, whole, warmup=50))

        noises, texts = [], []
        if weights.scores:
            paired, target, some = data.batch(batch // 2, generator)
            noises, texts, target = [paired], [*some], target.to(DEVICE)
        count = batch - len(texts)
        if weights.renders:
            real, captions, typed = captioned(renders, count, generator)
            real = real.to(DEVICE)
            noises.append(torch.randn(real.shape, generator=generator))
        else:
            noise, typed = data.fresh(count, generator)
            noises.append(noise)
        noise, context = torch.cat(noises).to(DEVICE), model.embed([*texts, *typed])
        ours = one_step(student, noise, context, ALPHAS)
        x0 = ours.detach()
        pull = torch.zeros_like(x0)

        if weights.scores:
            alpha, kappa = (
                ends[0] if fixed else eased(done, whole, ends) for ends in (ALPHA, KAPPA)
            )
            by_features, told["matching"] = segmented.matching_pull(encode, ours, target, context)
            by_scores = scores.pull(x0, context, alpha, generator)
            pull += weights.scores * segmented.together(by_scores, by_features, kappa, balance)
            told["mse"] = F.mse_loss(x0[: len(target)], target).item()

        rest = slice(len(x0) - count, None)
        leaf = x0[rest].clone().requires_grad_()
        losses = []
        if weights.adversary:
            told |= adversary.follow(real, x0[rest], context[rest], generator)
            with short_attention():
                fooling = adversary.loss(real, leaf, context[rest], generator)
            told["fooling"] = fooling.item()
            losses.append(weights.adversary * fooling)
        if weights.reward:
            missing = rewarded(eyes, leaf, captions, typed, generator)
            told |= {name: part.item() for name, part in missing.items()}
            losses.append(weights.reward * reward.total(missing))
        if weights.keep:
            with torch.no_grad():
                before = one_step(first, noise[rest], context[rest], ALPHAS)
            moved = F.mse_loss(leaf, before)
            told["moved"] = moved.item()
            strength = eased(done, whole, (weights.keep, KEPT * weights.keep))
            losses.append(strength * moved)
        with short_attention():
            if losses:
                pull[rest] += torch.autograd.grad(torch.stack(losses).sum(), leaf)[0]
            ours.backward(pull)
        segmented.update(optimizer, student.parameters())
        ema.step(student.parameters())

        if guard and ((done + 1) % LOOK == 0 or done + 1 == whole):
            ema.store(student.parameters())
            ema.copy_to(student.parameters())
            best.look(index + 1, guarded(paint, watcher, held_out, side))
            ema.restore(student.parameters())
        return {
            **told,
            "mean": x0.mean((0, 2, 3)).abs().max().item(),
            "deviation": x0.std((0, 2, 3)).mean().item(),
        }

    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title="distillation",
        save_seconds=save_seconds, flat=HOLD,
    )  # fmt: skip
    ema.copy_to(student.parameters())
    if guard:
        best.settle()
        settings["best"] = best.step
    student.save_pretrained(run / "unet")
    stage.hand_on(teacher or begin, run)
    stage.finish(run, "distill", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("distill", __doc__, steps=5000, batch=32, lr=1e-4, seed=6)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP,
                words="offline model, and what the online one begins with; for scores")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", words="its noises and pictures; for scores")
    stage.needs(parser, "--begin", *stage.ONE_STEP, default="warmup",
                words="the one-step U-Net to begin with")  # fmt: skip
    stage.needs(parser, "--encoder", "encoders",
                words="features of a CNN or ViT instead of the multi-step U-Net's own")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder",
                words="for renders as real pictures; for adversary and reward")  # fmt: skip
    stage.needs(parser, "--reader", "reader", words="what the reward is read by")
    stage.needs(parser, "--guard", "reader", words="a second one, to choose the best weights by")
    for name, words in (
        ("scores", "of segmented score distillation"),
        ("adversary", "of the critic's loss"),
        ("reward", "of what the reader finds missing"),
        ("keep", "of the distance to what was painted at first, a tenth at last"),
    ):
        default = getattr(Weights(), name)
        add(f"--{name}", type=float, default=default, help=f"weight {words}; 0 is off")
    add("--pictures", type=stage.positive, default=12000, help="renders that are real pictures")
    add("--held-out", type=stage.positive, default=150, help="captions of each kind for the guard")
    add("--critic-lr", type=float, default=1.5e-4, help="learning rate of the critic")
    add("--online-steps", type=stage.positive, default=2,
        help="updates of the online model before each")  # fmt: skip
    add("--online-first", type=stage.positive, default=80,
        help="updates of the online model alone, at first")  # fmt: skip
    add("--online-lr", type=float, default=3e-4, help="learning rate of the online model")
    add("--guidance", type=float, help="of the offline model (default: that of the pairs)")
    add("--fixed", action="store_true", help="hold alpha and kappa, for the ablation")
    options = vars(parser.parse_args(arguments))
    weights = Weights(*(options.pop(f.name) for f in dataclasses.fields(Weights)))
    train(options.pop("run"), weights=weights, **options)


if __name__ == "__main__":
    stage.command(main)
