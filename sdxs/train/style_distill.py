"""Stage f: a style LoRA for the one-step model (paper, section 3.2, "LoRA", figure 4).

Segmented score distillation, without a warm-up: the offline model wears the style, the online one
never does, and the one-step model's LoRA learns to make up the difference. Where the multi-step
model can paint in the style, so are the pairs, and feature matching pulls towards them as usual;
where it cannot (`--uncarried`), the pairs are plain ones, and lambda_FM is reduced. The scores
stay below the timestep from which on the style was learnt, and it is the model without it that
guides them: what words mean cannot be learnt from thirty pictures.
"""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch.nn import functional as F

from sdxs.train.pairs import Pairs
from sdxs.train.parts import segmented
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.lora import begin_with, fingerprint, lora, save_style
from sdxs.train.parts.segmented import ALPHA, ALPHAS, KAPPA, Balance, Scores, eased
from sdxs.train.parts.solver import Model, one_step
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed
from sdxs.train.style import RANK, TARGETS, learnt_below

SHAPE = ("down_block_types", "mid_block_type", "block_out_channels", "layers_per_block")
UNCARRIED = 0.25  # what lambda_FM is reduced to where the pairs are not in the style


def train(
    run: Path,
    *,
    teacher: Path,
    style: Path,
    student: Path,
    pairs: Path,
    uncarried: bool = False,
    plain_mse: bool = False,
    steps: int,
    online_steps: int,
    online_first: int,
    batch: int,
    rank: int,
    lr: float,
    online_lr: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a style for the one-step model of `student` in `run`, in its folder `style`.

    style: of the offline model `teacher`; the LoRA begins as it where the two U-Nets are alike,
    else as nothing. uncarried: the multi-step model cannot paint in the style, the pairs are plain.
    plain_mse: train by squared error on the pairs alone, for the comparison. Raises TrainingError.
    """
    if steps <= online_first and not plain_mse:
        raise loop.TrainingError(
            f"{steps} steps are not enough: the first {online_first} are the online model's alone"
        )
    data = Pairs(pairs)
    worn = style / "style"
    dressed = data.settings.get("style", "")
    if uncarried and (dressed or plain_mse):
        raise loop.TrainingError(f"--uncarried takes plain pairs{', no --plain-mse' * plain_mse}")
    if not uncarried and dressed != fingerprint(worn):
        raise loop.TrainingError(
            f"the pairs in {pairs} are not in the style of {style}: make such, pairs --style, or "
            "say --uncarried if the multi-step model cannot paint in it"
        )
    offline = Model.load(teacher)
    plain, below = loop.fingerprint(offline.unet), learnt_below(style, offline)
    offline = offline.wearing(worn, below)
    unet, online = (
        placed(UNet2DConditionModel.from_pretrained(folder / "unet"))
        for folder in (student, teacher)
    )
    base = loop.fingerprint(unet)
    torch.manual_seed(seed)
    weights = lora(unet, rank, TARGETS)
    alike = all(unet.config[name] == online.config[name] for name in SHAPE)
    if alike:
        begin_with(unet, worn)
    unet = placed(unet)
    optimizer = torch.optim.AdamW(weights, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0)
    scores = Scores(offline, online, data.guidance)
    ema = EMAModel(weights, decay=0.995, foreach=True)
    balance = Balance()
    encode = encoder_of(None, offline.unet)

    def by_squares(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.trapezoid(index, steps, warmup=50))
        noise, target, texts = data.batch(batch, generator)
        ours = one_step(unet, noise.to(DEVICE), offline.embed(texts), ALPHAS)
        loss = F.mse_loss(ours, target.to(DEVICE))
        loss.backward()
        segmented.update(optimizer, weights)
        ema.step(weights)
        return {"mse": loss.item()}

    def by_scores(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(scores.optimizer, online_lr * min(1.0, (index + 1) / 50))
        for _ in range(1 if index < online_first else online_steps):
            followed = scores.follow_fresh(unet, data, batch, generator)
        if index < online_first:
            return {"online": followed}
        done, whole = index - online_first, steps - online_first
        loop.set_lr(optimizer, lr * loop.trapezoid(done, whole, warmup=50))
        alpha, kappa = (eased(done, whole, ends) for ends in (ALPHA, KAPPA))
        alpha = min(alpha, below)
        paired, target, texts = data.batch(-(-batch // 2), generator)
        paired, target = paired.to(DEVICE), target.to(DEVICE)
        noise, more = data.fresh(batch // 2, generator)
        context = offline.embed([*texts, *more])
        ours = one_step(unet, torch.cat((paired, noise.to(DEVICE))), context, ALPHAS)
        features, matching = segmented.matching_pull(encode, ours, target, context)
        pulled = scores.pull(ours.detach(), context, alpha, generator)
        kappa *= UNCARRIED if uncarried else 1
        segmented.descend(ours, pulled, features, kappa, balance)
        segmented.update(optimizer, weights)
        ema.step(weights)
        mse = F.mse_loss(ours.detach()[: len(target)], target).item()
        return {"online": followed, "matching": matching, "mse": mse}

    settings = {
        "student": base,
        "teacher": plain,
        "style": fingerprint(worn),
        "begins_with": fingerprint(worn) if alike else "",
        "uncarried": uncarried,
        "plain_mse": plain_mse,
        "text": loop.fingerprint(offline.text),
        "pairs": {**data.settings, "count": len(data.prompts)},
        "online_steps": online_steps,
        "online_first": online_first,
        "batch": batch,
        "rank": rank,
        "lr": lr,
        "online_lr": online_lr,
    }
    parts = {
        "unet": unet, "optimizer": optimizer, "ema": ema, "balance": balance, **scores.parts
    }  # fmt: skip
    seconds = loop.run(
        run, parts, by_squares if plain_mse else by_scores, steps=steps, seed=seed,
        settings=settings, title="one-step style", save_seconds=save_seconds,
    )  # fmt: skip
    ema.copy_to(weights)
    save_style(unet, run / "style")
    stage.finish(run, "style_distill", seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("style_distill", __doc__, steps=400, batch=32, lr=1e-3, seed=23)
    add = parser.add_argument
    stage.needs(parser, "--teacher", *stage.MULTI_STEP, default="blocks", words="the offline model")
    stage.needs(parser, "--style", "style", default="style", words="its style")
    stage.needs(parser, "--student", *stage.ONE_STEP, default="texture",
                words="the one-step model")  # fmt: skip
    stage.needs(parser, "--pairs", "pairs", default="pairs",
                words="noises and pictures, in the style or plain ones")  # fmt: skip
    add("--uncarried", action="store_true",
        help="the multi-step model cannot paint in the style: the pairs are plain ones, and "
        f"lambda_FM is {UNCARRIED:g} of what it is")  # fmt: skip
    add("--plain-mse", action="store_true",
        help="squared error on the pairs instead, for the comparison")  # fmt: skip
    add("--online-steps", type=stage.positive, default=2,
        help="updates of the online model before each")  # fmt: skip
    add("--online-first", type=stage.positive, default=80,
        help="updates of the online model alone, at first")  # fmt: skip
    add("--rank", type=stage.positive, default=RANK, help="of every layer's addition")
    add("--online-lr", type=float, default=3e-4, help="learning rate of the online model")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
