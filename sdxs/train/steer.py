"""Stage g: a control for the one-step model (paper, section 3.2, "ControlNet").

The one-step U-Net stays as it is, its control learns: by feature matching alone at first, then by
segmented score distillation, where the full control steers both score models. Control pictures are
extracted from the pictures of the pairs. Since a pair's noise alone says what its picture shows,
a part rho of the noise is drawn anew, or the control would never be needed.
"""

import functools
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.train.pairs import Pairs
from sdxs.train.parts import segmented
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.segmented import ALPHA, ALPHAS, KAPPA, Balance, Scores, eased
from sdxs.train.parts.solver import Model, one_step
from sdxs.train.parts.steered import Steered, kind_of, read_control, shown
from sdxs.train.parts.traced import control_pictures, sight
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed


def partly_fresh(noise: Tensor, rho: float, generator: torch.Generator) -> Tensor:
    """Noise (B, C, h, w) of which a share rho of the places is drawn anew, all channels at once."""
    places = torch.rand(len(noise), 1, *noise.shape[2:], generator=generator) < rho
    return torch.where(places, torch.randn(noise.shape, generator=generator), noise)


def train(
    run: Path,
    *,
    teacher: Path,
    full: Path,
    begin: Path,
    student: Path,
    pairs: Path,
    autoencoder: Path,
    depth: Path | None = None,
    steps: int,
    warmup: int,
    online_steps: int,
    online_first: int,
    batch: int,
    lr: float,
    online_lr: float,
    rho: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a control for the one-step model of `student` in `run`.

    full: the control of the offline model `teacher`. begin: the slim one to begin with. warmup:
    steps of feature matching alone, 0 for none; equal to `steps`, nothing follows them.
    online_first: steps after them in which the online model learns alone. Raises TrainingError.
    """
    offline, data = Model.load(teacher), Pairs(pairs)
    kind = kind_of(full, offline.unet)
    if (other := stage.read(begin)["control"]) != kind:
        raise loop.TrainingError(f"{begin} follows {other}, {full} follows {kind}")
    sees_depth = sight(kind, depth, full, begin)
    if warmup < steps <= warmup + online_first:
        raise loop.TrainingError(
            f"{steps} steps are not enough: {warmup} are feature matching's, the next "
            f"{online_first} the online model's alone"
        )
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    drawn = control_pictures(run, kind, data.latents, vae, seed, sees_depth)
    large, network = (placed(read_control(folder)) for folder in (full, begin))
    large.eval().requires_grad_(False)
    begins_with = loop.fingerprint(network)
    unet, online = (
        placed(UNet2DConditionModel.from_pretrained(folder / "unet"))
        for folder in (student, teacher)
    )
    unet.eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=0.0, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    scores = Scores(offline, online, data.guidance)
    ema = EMAModel(network.parameters(), decay=0.998, foreach=True)
    balance = Balance()
    encode = encoder_of(None, offline.unet)

    def drawn_batch(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Noise, target, embeddings, control pictures."""
        rows = data.rows(batch, generator)
        noise, target, texts = data.at(rows)
        noise = partly_fresh(noise, rho, generator).to(DEVICE)
        return (
            noise,
            target.to(DEVICE),
            offline.embed(texts),
            shown(drawn.pictures[rows]).to(DEVICE),
        )

    def under(control: nn.Module, pictures: Tensor) -> segmented.Bind:
        return functools.partial(Steered, control=control, pictures=pictures)

    def follow(generator: torch.Generator) -> float:
        noise, _, context, pictures = drawn_batch(generator)
        with torch.no_grad():
            x0 = one_step(Steered(unet, network, pictures), noise, context, ALPHAS)
        return scores.follow(x0, context, generator, under(large, pictures))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.trapezoid(index, steps, warmup=50))
        logged = {}
        if index >= warmup:
            loop.set_lr(scores.optimizer, online_lr * min(1.0, (index - warmup + 1) / 50))
            alone = index < warmup + online_first
            for _ in range(1 if alone else online_steps):
                logged["online"] = follow(generator)
            if alone:
                return logged
        noise, target, context, pictures = drawn_batch(generator)
        ours = one_step(Steered(unet, network, pictures), noise, context, ALPHAS)
        by_features, matching = segmented.matching_pull(encode, ours, target, context)
        if index < warmup:
            ours.backward(by_features)
        else:
            done, whole = index - warmup - online_first, steps - warmup - online_first
            alpha, kappa = (eased(done, whole, ends) for ends in (ALPHA, KAPPA))
            by_scores = scores.pull(
                ours.detach(), context, alpha, generator, under(large, pictures)
            )
            segmented.descend(ours, by_scores, by_features, kappa, balance)
        segmented.update(optimizer, network.parameters())
        ema.step(network.parameters())
        mse = F.mse_loss(ours.detach(), target).item()
        return {**logged, "matching": matching, "mse": mse}

    settings = {
        "begins_with": begins_with,
        "student": loop.fingerprint(unet),
        "teacher": loop.fingerprint(offline.unet),
        "full": loop.fingerprint(large),
        "text": loop.fingerprint(offline.text),
        "autoencoder": loop.fingerprint(vae),
        "pairs": {**data.settings, "count": len(data.prompts)},
        "control": kind,
        "drawn_by": drawn.by,
        "warmup": warmup,
        "online_steps": online_steps,
        "online_first": online_first,
        "batch": batch,
        "lr": lr,
        "online_lr": online_lr,
        "rho": rho,
    }
    parts = {
        "control": network, "optimizer": optimizer, "ema": ema, "balance": balance, **scores.parts
    }  # fmt: skip
    seconds = loop.run(
        run, parts, step, steps=steps, seed=seed, settings=settings, title=f"one-step {kind}",
        save_seconds=save_seconds,
    )  # fmt: skip
    ema.copy_to(network.parameters())
    network.half().save_pretrained(run / "control")  # as it ships
    stage.finish(run, "steer", drawn.seconds + seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("steer", __doc__, steps=1200, batch=32, lr=3e-4, seed=17)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks", words="the offline model")
    stage.needs(parser, "--full", "control", "control_blocks", default="control",
                words="its control")  # fmt: skip
    stage.needs(parser, "--begin", "control_blocks", "steer", default="control_blocks",
                words="the slim control to begin with")  # fmt: skip
    stage.needs(parser, "--student", *stage.ONE_STEP, default="texture",
                words="the one-step model")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", default="pairs", words="noises and pictures")
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="what makes pictures of latents")  # fmt: skip
    stage.needs(parser, "--depth", "depth", words="the network that sees depth, for that control")
    add("--warmup", type=int, default=600, help="steps of feature matching alone, at first")
    add("--online-steps", type=stage.positive, default=2,
        help="updates of the online model before each")  # fmt: skip
    add("--online-first", type=stage.positive, default=80,
        help="updates of the online model alone, after the warm-up")  # fmt: skip
    add("--online-lr", type=float, default=3e-4, help="learning rate of the online model")
    add("--rho", type=float, default=1.0, help="share of the noise that is drawn anew")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
