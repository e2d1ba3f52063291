"""Stage b: block removal (paper, section 3.1, eq. 6 to 8; BK-SDM, arXiv 2305.15798).

A multi-step model in Stable Diffusion's layout becomes one in SDXS's: the middle, the lowest stage,
one of two blocks in every stage and the attention of the highest are gone. What is left starts as
the teacher's own blocks and learns to give its outputs (OKD) and its features (FKD); there is no
denoising loss.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from sdxs.model.schedule import add_noise
from sdxs.train.parts.averaged import Averaged
from sdxs.train.parts.features import Tap
from sdxs.train.parts.latents import EMPTY, encode_scenes
from sdxs.train.parts.models import FACTOR, PRESETS, build_scheduler, build_unet
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, placed, predict

FEATURES = {  # the student's modules -> the teacher's, whose outputs FKD compares
    "down_blocks.0": "down_blocks.0",
    "down_blocks.1": "down_blocks.1",
    "down_blocks.2.attentions.0.proj_out": "down_blocks.2.attentions.1.proj_out",
    "up_blocks.0": "up_blocks.1",
    "up_blocks.1": "up_blocks.2",
    "up_blocks.2": "up_blocks.3",
}
KEPT = ((0, 2), (0, 2), (0, 2))


def source(key: str, kept: Sequence[tuple[int, int]] = KEPT) -> str:
    """Where in the teacher a student's weight starts.

    kept: of the three resnets and attentions of the teacher's three upper up blocks, the student's.
    """
    found = re.fullmatch(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", key)
    if found:
        block, kind, place, rest = int(found[1]), found[2], int(found[3]), found[4]
        return f"up_blocks.{block + 1}.{kind}.{kept[block][place]}.{rest}"
    found = re.fullmatch(r"up_blocks\.(\d)\.(upsamplers.+)", key)
    return f"up_blocks.{int(found[1]) + 1}.{found[2]}" if found else key


def removed(teacher: UNet2DConditionModel, student: UNet2DConditionModel) -> None:
    """Give the student the teacher's blocks that are left; shapes must agree."""
    given = teacher.state_dict()
    student.load_state_dict({key: given[source(key)].clone() for key in student.state_dict()})


def feature_loss(ours: Tap, theirs: Tap, names: Mapping[str, str] = FEATURES) -> Tensor:
    """Eq. 7 as a mean over layers, each divided by the variance of the teacher's.

    names: the student's modules and the teacher's that answer to them.
    """
    parts = []
    for mine, other in names.items():
        wanted = theirs.features[other].float()
        error = F.mse_loss(ours.features[mine].float(), wanted)
        parts.append(error / wanted.var().clamp(min=1e-6))
    return torch.stack(parts).mean()


def train(
    run: Path,
    *,
    teacher: Path,
    autoencoder: Path,
    steps: int,
    batch: int,
    pictures: int,
    lr: float,
    weight: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a tiny multi-step model in `run`.

    weight: lambda_F of eq. 8. Raises TrainingError if `teacher` has not Stable Diffusion's layers.
    """
    made = stage.read(teacher)
    if made["layout"] != "sd":
        raise loop.TrainingError(
            f"{teacher} has no blocks to remove: train it with --layout sd, or use it as it is"
        )
    model = Model.load(teacher)
    resolution = FACTOR * model.unet.config["sample_size"]
    vae = AutoencoderTiny.from_pretrained(autoencoder / "vae").eval()
    data = encode_scenes(run, vae, pictures, seed, resolution)
    student = build_unet(PRESETS[made["preset"]], resolution)
    removed(model.unet, student)
    student = placed(student)
    ours, theirs = Tap(student, list(FEATURES)), Tap(model.unet, list(FEATURES.values()))
    learner = Averaged(student, lr, decay=0.999)
    alphas = build_scheduler().alphas_cumprod

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        x0, texts, _ = data.batch(batch, generator, empty=EMPTY)
        noise = torch.randn(x0.shape, generator=generator)
        t = torch.randint(len(alphas), (batch,), generator=generator).to(DEVICE)
        x = add_noise(x0.to(DEVICE), noise.to(DEVICE), t, alphas)
        context = model.embed(texts)  # (B, L, D)
        with torch.no_grad():
            wanted = predict(model.unet, x, t, context)
        output = F.mse_loss(predict(student, x, t, context), wanted)  # eq. 6
        features = feature_loss(ours, theirs)
        learner.update(output + weight * features, loop.trapezoid(index, steps))
        return {"output": output.item(), "features": features.item()}

    settings = {
        "teacher": loop.fingerprint(model.unet),
        "text": loop.fingerprint(model.text),
        "encoder": loop.fingerprint(vae.encoder),
        "preset": made["preset"],
        "batch": batch,
        "pictures": pictures,
        "lr": lr,
        "weight": weight,
    }
    seconds = loop.run(
        run, {"student": student, **learner.parts}, step, steps=steps, seed=seed,
        settings=settings, title="block removal", save_seconds=save_seconds, flat=1 - loop.DECAY,
    )  # fmt: skip
    learner.settle()
    student.save_pretrained(run / "unet")
    stage.hand_on(teacher, run)
    stage.finish(run, "blocks", data.seconds + seconds, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options("blocks", __doc__, steps=4000, batch=64, lr=2e-4, pictures=40000, seed=7)
    stage.needs(parser, "--teacher", "teacher", default="teacher",
                words="a multi-step model in Stable Diffusion's layout")  # fmt: skip
    stage.needs(parser, "--autoencoder", "autoencoder", default="autoencoder",
                words="whose latents are painted")  # fmt: skip
    parser.add_argument("--weight", type=float, default=1.0, help="lambda_F of eq. 8")
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
