"""Stage d: feature-matching warm-up (paper, section 3.2, eq. 10). From many steps to one.

The one-step model starts as the teacher, takes pure noise at the last timestep and learns to
give the picture that the teacher reaches in many steps from the same noise.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import nn
from torch.nn import functional as F

from sdxs.schedule import x0_from_velocity
from sdxs.train import loop
from sdxs.train.losses import feature_matching
from sdxs.train.models import build_scheduler, short_attention
from sdxs.train.pairs import Pairs
from sdxs.train.solver import Teacher


def train(
    run: Path,
    *,
    teacher: Path,
    pairs: Path,
    begin: Path | None = None,
    steps: int,
    batch: int,
    lr: float,
    mse: float,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    model, data = Teacher.load(teacher), Pairs(pairs)
    student = UNet2DConditionModel.from_pretrained(begin or teacher / "unet").to(
        memory_format=torch.channels_last
    )
    parameters = list(student.parameters())
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    ema = EMAModel(parameters, decay=0.998, foreach=True)
    alphas = build_scheduler().alphas_cumprod
    last = torch.full((batch,), len(alphas) - 1)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.trapezoid(index, steps, warmup=50))
        noise, target, texts = data.batch(batch, generator)
        context = model.embed(texts)  # (B, L, D)
        with short_attention(), torch.autocast("cpu", torch.bfloat16):
            v = student(
                noise.to(memory_format=torch.channels_last), last, context, return_dict=False
            )[0]
        ours = x0_from_velocity(noise, v.float(), last, alphas)
        with short_attention(), torch.autocast("cpu", torch.bfloat16):
            matching = feature_matching(model.unet, ours, target, context)
        squares = F.mse_loss(ours, target)
        optimizer.zero_grad(set_to_none=True)
        with short_attention():
            (matching + mse * squares).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        ema.step(parameters)
        return {
            "matching": matching.item(),
            "mse": squares.item(),
            "mean": ours.mean((0, 2, 3)).abs().max().item(),
        }

    settings = {
        "begins_with": loop.fingerprint(student),
        "teacher": loop.fingerprint(model.unet),
        "pairs": {**data.settings, "count": len(data.prompts)},
        "batch": batch,
        "lr": lr,
        "mse": mse,
    }
    parts = {"student": student, "optimizer": optimizer, "ema": ema}
    seconds = loop.run(
        run,
        parts,
        step,
        steps=steps,
        seed=seed,
        settings=settings,
        title="warm-up",
        save_seconds=save_seconds,
        flat=1 - loop.DECAY,
    )
    ema.copy_to(parameters)
    student.save_pretrained(run / "unet")
    print(
        json.dumps(
            {"stage": "warmup", "pairs_seen": steps * batch, "hours": round(seconds / 3600, 3)}
        )
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", type=Path, default=Path("runs/warmup"), help="folder for its state"
    )
    parser.add_argument("--teacher", type=loop.made_by("teacher"), default="runs/teacher")
    parser.add_argument("--pairs", type=loop.made_by("pairs"), default="runs/pairs")
    parser.add_argument(
        "--begin",
        type=loop.made_by("warmup"),
        metavar="FOLDER",
        help="begin with an earlier one-step U-Net instead of the teacher's",
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument(
        "--mse", type=float, default=0.1, help="weight of the squared error beside eq. 10"
    )
    parser.add_argument("--seed", type=int, default=4)
    options = vars(parser.parse_args(arguments))
    train(options.pop("run"), **options)


if __name__ == "__main__":
    loop.command(main)
