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
from torch.nn import functional as F

from sdxs.train.parts.distillation import Distillation, DistillationOptions, drawn, matching
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.lora import RANK, begin_with, fingerprint, learnt_below, lora, save_style
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.segmented import KAPPA, Scores
from sdxs.train.parts.solver import Model, one_step, read_unet
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import option, positive
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP

SHAPE = ("down_block_types", "mid_block_type", "block_out_channels", "layers_per_block")
UNCARRIED = 0.25  # what lambda_FM is reduced to where the pairs are not in the style


class Options(DistillationOptions, steps=400, lr=1e-3, seed=23):
    teacher: Path = stage.needs("the offline model", *MULTI_STEP)
    style: Path = stage.needs("its style", "style")
    student: Path = stage.needs("the one-step model", *ONE_STEP, default="texture")
    pairs: Path = stage.needs("noises and pictures, in the style or plain ones", "pairs")
    uncarried: bool = option(
        False,
        "the multi-step model cannot paint in the style: the pairs are plain ones, and lambda_FM "
        f"is {UNCARRIED:g} of what it is",
    )
    plain_mse: bool = option(False, "squared error on the pairs instead, for the comparison")
    rank: int = option(RANK, "of every layer's addition", type=positive)


def train(options: Options) -> None:
    """Leave a style for the one-step model of `student` in `run`, in its folder `style`.

    The LoRA begins as the multi-step model's where the two U-Nets are alike, else as nothing.
    Raises TrainingError.
    """
    uncarried, plain_mse, batch = options.uncarried, options.plain_mse, options.batch
    if not plain_mse:
        options.check()
    data = Pairs(options.pairs)
    worn = options.style / "style"
    dressed = data.settings.get("style", "")
    if uncarried and (dressed or plain_mse):
        raise loop.TrainingError(f"--uncarried takes plain pairs{', no --plain-mse' * plain_mse}")
    if not uncarried and dressed != fingerprint(worn):
        raise loop.TrainingError(
            f"the pairs in {options.pairs} are not in the style of {options.style}: make such, "
            "pairs --style, or say --uncarried if the multi-step model cannot paint in it"
        )
    offline = Model.load(options.teacher)
    below = learnt_below(options.style, offline.unet)
    offline = offline.wearing(worn, below)
    unet, online = read_unet(options.student), read_unet(options.teacher)
    alike = all(unet.config[name] == online.config[name] for name in SHAPE)
    facts = {
        "student": loop.fingerprint(unet),
        **offline.facts,
        "style": fingerprint(worn),
        "begins_with": fingerprint(worn) if alike else "",
        **data.facts,
    }
    torch.manual_seed(options.seed)
    lora(unet, options.rank)
    if alike:
        begin_with(unet, worn)
    unet = placed(unet)
    learner = Learner("unet", unet, options.lr, 0.995, weight_decay=0.0, fused=None)
    strength = (UNCARRIED * KAPPA[0], UNCARRIED * KAPPA[1]) if uncarried else KAPPA
    distillation = Distillation(
        options,
        Scores(offline, online, data.guidance, options.online_lr),
        learner,
        [matching(encoder_of(None, offline.unet), strength)],
        draw=drawn(unet, offline, data, -(-batch // 2), batch // 2),
        draw_online=drawn(unet, offline, data, 0, batch),
        counted_from=options.online_first,
        below=below,
    )
    draw = drawn(unet, offline, data, batch, 0)

    def by_squares(index: int, generator: torch.Generator) -> dict[str, float]:
        given = draw(generator)
        loss = F.mse_loss(one_step(unet, given.noise, given.context), given.target)
        learner.update(loss, loop.trapezoid(index, options.steps, warmup=50))
        return {"mse": loss.item()}

    step = by_squares if plain_mse else distillation.step
    with stage.trained(options, distillation.parts, step, facts):
        learner.settle()
        save_style(unet, options.run / "style")


main = stage.main(Options, train, __name__)
