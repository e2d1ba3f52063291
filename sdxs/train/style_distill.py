"""Stage f: a style LoRA for the one-step model (paper, section 3.2, "LoRA", figure 4).

Segmented score distillation, without a warm-up: the offline model wears the style, the online one
never does, and the one-step model's LoRA learns to make up the difference. Where the multi-step
model can paint in the style, so are the pairs, and feature matching pulls towards them as usual;
where it cannot (`--uncarried`), the pairs are plain ones, and lambda_FM is reduced. The scores
stay below the timestep from which on the style was learnt, and it is the model without it that
guides them: what words mean cannot be learnt from thirty pictures.

Adversary and reward (`sdxs.train.parts.supervision`) stand beside the scores or for them. To the
adversary renders are real as an artist of the storybook's redraws them, or a folder's pictures in
the style; the reader should have seen artists, too (`reader --artists`). With `--control` a style
learns to hold on drawings as well.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from sdxs.conditions import CONDITIONS
from sdxs.storybook.world.artists import ARTISTS
from sdxs.train.parts.autoencoders import Autoencoder, read_autoencoder
from sdxs.train.parts.batches import Batch, Draw, drawn
from sdxs.train.parts.control_images import control_images
from sdxs.train.parts.controlled import Controlled, control_input, read_control
from sdxs.train.parts.denoiser import Denoiser, read_denoiser
from sdxs.train.parts.distillation import (
    Distillation,
    DistillationOptions,
    matching,
)
from sdxs.train.parts.features import encoder_of
from sdxs.train.parts.latents import encode_scenes
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.lora import RANK, begin_with, fingerprint, lora, save_style
from sdxs.train.parts.pairs import Pairs
from sdxs.train.parts.prompts import FRESH
from sdxs.train.parts.segmented import Scores
from sdxs.train.parts.solver import Model
from sdxs.train.parts.supervision import Supervision, SupervisionOptions
from sdxs.train.parts.worn import Worn, alike, begin_near, open_style
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import placed
from sdxs.train.run.options import option, positive
from sdxs.train.run.stages import MULTI_STEP, ONE_STEP

UNCARRIED = 0.25  # what lambda_FM is reduced to where the pairs are not in the style


class Options(DistillationOptions, SupervisionOptions, steps=400, lr=1e-3, seed=23):
    offline: Path | None = stage.takes("the offline model, for scores", *MULTI_STEP)
    style: Path | None = stage.takes("its style", "style")
    style_scale: float = option(1.0, "how strong it is, as in `pairs`", recorded="never")
    student: Path = stage.needs("the one-step model", *ONE_STEP, default="average")
    pairs: Path | None = stage.takes("noises and pictures, in the style or plain ones", "pairs")
    prompts: str | None = option(None, FRESH, recorded="never")
    begin: Path | None = stage.takes("a one-step style to go on from", "style_distill")
    artist: str | None = option(
        None, "who redraws the renders for the adversary", choices=ARTISTS, recorded="given"
    )
    control: Path | None = stage.takes(
        "a one-step control, under which every other batch is painted", "steer"
    )
    uncarried: bool = option(
        False,
        "the multi-step model cannot paint in the style: the pairs are plain ones, and lambda_FM "
        f"is {UNCARRIED:g} of what it is",
    )
    plain_mse: bool = option(False, "squared error on the pairs instead, for the comparison")
    rank: int = option(RANK, "of every layer's addition", type=positive)

    def check(self, warmup: int = 0) -> None:
        self.check_sources("offline", "style", "pairs")
        if self.adversary and self.artist is None and not self.real:
            raise loop.TrainingError(
                "an adversary needs --artist, who redraws what is real to it, or --real"
            )
        if self.real and (self.artist or self.control):
            raise loop.TrainingError("--artist and --control are of renders, not of --real")
        if self.control and (self.offline or not self.supervised):
            raise loop.TrainingError("--control goes with --adversary and --reward alone")
        if self.plain_mse and (self.supervised or not self.offline):
            raise loop.TrainingError("--plain-mse takes pairs in the style and nothing else")
        if self.offline and not self.plain_mse:
            super().check(warmup)


@dataclass(frozen=True)
class Styled:
    """A multi-step model that wears a style, the same without, and pairs."""

    offline: Model
    online: Denoiser
    data: Pairs
    style: Worn


def in_style(
    offline: Path,
    style: Path,
    pairs: Path,
    prompts: str | None,
    scale: float,
    *,
    uncarried: bool,
    plain_mse: bool,
) -> Styled:
    """Read and compare them. Raises TrainingError."""
    plain = Model.load(offline)
    data = Pairs(pairs, prompts, side=plain.resolution)
    worn = open_style(style, plain.networks, scale)
    dressed = data.settings.get("style", "")
    if uncarried and (dressed or plain_mse):
        raise loop.TrainingError(f"--uncarried takes plain pairs{', no --plain-mse' * plain_mse}")
    if not uncarried and dressed != worn.fingerprint:
        raise loop.TrainingError(
            f"the pairs in {pairs} are not in the style of {style}, as strong as that: make such, "
            "pairs --style, or say --uncarried if the multi-step model cannot paint in it"
        )
    return Styled(plain.wearing(worn), plain.fit(offline), data, worn)


def under_control(
    draw: Draw, options: Options, student: str, model: Model
) -> tuple[Draw, dict[str, Any], float]:
    """The same batches of renders, half of them under the control; facts, and seconds.

    student: the fingerprint of the U-Net that the control must have been made for. Raises
    TrainingError.
    """
    assert options.control and options.autoencoder  # as `check` has it
    made = stage.read(options.control)
    if made["student"] != student:
        raise loop.TrainingError(
            f"the control of {options.control} was made for another model: give that one"
        )
    if CONDITIONS[made["control"]].sees_depth:
        raise loop.TrainingError("--control takes one that needs no depth, such as sketch")
    vae = read_autoencoder(options.autoencoder)
    shown = encode_scenes(
        options.run / "plain", vae, options.pictures, options.seed, model.resolution
    )
    images = control_images(
        options.run / "plain", made["control"], shown.latents, Autoencoder(vae), options.seed,
        scenes=shown.scenes,
    )  # fmt: skip
    network = placed(read_control(options.control)).requires_grad_(False)

    def beneath(generator: torch.Generator) -> Batch:
        batch = draw(generator)
        if batch.real is None or torch.rand((), generator=generator) < 0.5:
            return batch
        seen = control_input(images.images[batch.real.index])
        led = batch.student.with_unet(Controlled(batch.student.unet, network, seen))
        return dataclasses.replace(batch, student=led)

    facts = {"control": made["control"], "controlled_by": loop.fingerprint(network)}
    return beneath, facts, shown.seconds + images.seconds


def train(options: Options) -> None:
    """Leave a style for the one-step model of `student` in `run`, in its folder `style`.

    The LoRA begins as that of `begin`, else as the multi-step model's where the two U-Nets are
    alike, of somebody else's style where their layers answer to each other, else as nothing. What
    such a style adds to text encoders goes with it as it is. Raises TrainingError, CheckpointError.
    """
    options.check()
    batch, spent, given = options.at_once, 0.0, None
    plain, first = read_denoiser(options.student), options.begin
    unet = plain.unet
    student = loop.fingerprint(unet)
    facts: dict[str, Any] = {}
    if options.offline and options.style and options.pairs:
        given = in_style(
            options.offline, options.style, options.pairs, options.prompts, options.style_scale,
            uncarried=options.uncarried, plain_mse=options.plain_mse,
        )  # fmt: skip
        facts |= {"style": given.style.fingerprint, **given.data.facts}
        if given.style.ours and alike(unet, given.online.unet):
            first = first or options.style
    model = given.offline if given else Model.load(options.student)
    facts |= {"student": student, **model.facts}
    facts["begins_with"] = fingerprint(first / "style") if first else ""
    torch.manual_seed(options.seed)
    lora(unet, options.rank)
    if first:
        begin_with(unet, first / "style", model.text.networks)
    elif given and not given.style.ours and begin_near(unet, given.style, given.online.unet):
        facts["begins_with"] = given.style.fingerprint
    placed(unet)
    learner = Learner(
        "unet", unet, options.lr, 0.995, scale=options.scale, weight_decay=0.0, fused=None
    )
    scores = data = supervision = None
    terms, parts = [], {}
    if given:
        data = given.data
        share = UNCARRIED if options.uncarried else 1
        first_kappa, last_kappa = (share * kappa for kappa in options.strength)
        terms = [matching(encoder_of(None, given.offline.unet), (first_kappa, last_kappa))]
    paired = 0 if data is None else batch if options.plain_mse else -(-batch // 2)
    if options.autoencoder and options.supervised:
        vae = Autoencoder.load(options.autoencoder)
        supervision = Supervision(
            options, vae, model, online=given.online if given else None, artist=options.artist
        )
        parts, facts = supervision.parts, facts | supervision.facts
        spent += supervision.data.seconds
    if given:
        scores = Scores(given.offline, given.online, given.data.guidance, options.online_lr,
                        options.scale, supervision and supervision.also)  # fmt: skip
    draw = drawn(plain, model, data, paired, batch - paired, supervision)
    if options.control:
        draw, more, took = under_control(draw, options, student, model)
        facts, spent = facts | more, spent + took
    alone = drawn(plain, model, data, 0, batch)
    distillation = Distillation(
        options,
        scores,
        learner,
        terms,
        draw=draw,
        draw_online=draw if supervision and supervision.also else alone,
        supervision=supervision,
        counted_from=options.online_first if scores else 0,
        below=model.below,
    )

    def by_squares(index: int, generator: torch.Generator) -> dict[str, float]:
        def one(chance: torch.Generator) -> MicroBatch:
            given = draw(chance)
            loss = F.mse_loss(plain.one_step(given.noise, given.words), given.target)
            return MicroBatch(loss, {"mse": loss.item()})

        return learner.learn(generator, loop.trapezoid(index, options.steps, warmup=50), one)

    step = by_squares if options.plain_mse else distillation.step
    with stage.trained(
        options, {**distillation.parts, **parts}, step, facts, spent=spent, frozen=model.networks
    ):
        learner.settle()
        if supervision:
            supervision.leave(options.run)
        save_style(unet, options.run / "style", given.style.heard if given else None)


main = stage.main(Options, train, __name__)
