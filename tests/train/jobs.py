"""What ranks do in tests: a function each, of a folder first."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from sdxs.train import distill, teacher, warmup
from sdxs.train.parts.cache import cached
from sdxs.train.parts.learner import Learner, MicroBatch
from sdxs.train.parts.models import DOWN, UP
from sdxs.train.run import loop, ranks, sharding, stage
from sdxs.train.run.machine import short_attention
from sdxs.train.run.options import Scale

ROWS = 12  # of the data, which are one batch


class Toy:
    """A regression in float64, whose batch is all its data or drawn anew."""

    def __init__(self, micro_batches: int) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        self.idle = nn.Parameter(torch.ones(2).double())  # what no loss reaches
        self.network.register_parameter("idle", self.idle)
        data = torch.Generator().manual_seed(5)
        self.x = torch.randn(ROWS, 3, generator=data, dtype=torch.float64)
        self.y = torch.randn(ROWS, 1, generator=data, dtype=torch.float64)
        self.learner = Learner(
            "network", self.network, 0.05, 0.9, scale=Scale(micro_batches), fused=None
        )
        self.rows = iter(range(ranks.rank(), micro_batches, ranks.world()))
        self.seen: list[list[int]] = []

    def parts_of_the_batch(self, generator: torch.Generator) -> MicroBatch:
        """Micro-batches that are the data in turn: together the plain full batch."""
        some = ROWS // self.learner.micro_batches
        place = next(self.rows) * some
        x, y = self.x[place : place + some], self.y[place : place + some]
        loss = (self.network(x) - y).square().mean()
        return MicroBatch(loss, {"loss": loss.item()})

    def drawn(self, generator: torch.Generator) -> MicroBatch:
        """Micro-batches at random."""
        index = torch.randint(ROWS, (3,), generator=generator)
        self.seen.append(index.tolist())
        x = self.x[index] + torch.randn(3, 3, generator=generator, dtype=torch.float64)
        loss = (self.network(x) - self.y[index]).square().mean()
        return MicroBatch(loss, {"loss": loss.item()})

    def step(self, index: int, generator: torch.Generator) -> dict[str, float]:
        return self.learner.learn(generator, 1.0, self.drawn)

    def run(self, folder: Path, steps: int, **settings: Any) -> None:
        loop.run(
            folder, self.learner.parts, self.step, steps=steps, seed=1, settings=settings,
            title="toy", save_seconds=0,
        )  # fmt: skip


def full_batch(folder: Path, micro_batches: int) -> None:
    toy = Toy(micro_batches)
    told = toy.learner.learn(loop.chance(1, 0), 0.0, toy.parts_of_the_batch)
    gradients = {name: part.grad for name, part in toy.network.named_parameters()}
    torch.save({**gradients, "loss": told["loss"]}, folder / f"{ranks.rank()}.pt")


def several_steps(folder: Path, micro_batches: int) -> None:
    toy = Toy(micro_batches)
    toy.run(folder, 6)
    kept = {"weights": toy.network.state_dict(), "seen": toy.seen}
    torch.save(kept, folder / f"rank-{ranks.rank()}.pt")


def long_run(folder: Path, steps: int) -> None:
    toy = Toy(2)
    step = toy.step

    def slow(index: int, generator: torch.Generator) -> dict[str, float]:
        time.sleep(0.01)
        return step(index, generator)

    toy.step = slow  # type: ignore[method-assign]
    toy.run(folder, steps)


def unlike_settings(folder: Path) -> None:
    Toy(2).run(folder, 2, lr=0.1 * (1 + ranks.rank()))


def unlike_beginnings(folder: Path) -> None:
    toy = Toy(2)
    with torch.no_grad():
        toy.network[0].weight += ranks.rank()
    toy.run(folder, 2)
    torch.save(toy.network.state_dict(), folder / f"{ranks.rank()}.pt")


def diverges_in_one(folder: Path) -> None:
    toy = Toy(2)
    if ranks.rank() == 1:
        toy.x += float("inf")
    toy.run(folder, 5)


def fails_in_one(folder: Path, who: int) -> None:
    toy = Toy(2)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        if index == 2 and ranks.rank() == who:
            raise loop.TrainingError("this one alone has no more room")
        return Toy.step(toy, index, generator)

    toy.step = step  # type: ignore[method-assign]
    toy.run(folder, 5)


def cached_by_main(folder: Path) -> None:
    def make() -> dict[str, torch.Tensor]:
        assert ranks.is_main()
        time.sleep(0.2)
        return {"x": torch.arange(3)}

    data, _ = cached(folder, "data", {"count": 3}, make)
    assert data["x"].tolist() == [0, 1, 2]


def toy_teacher(run: Path, given: Path, micro_batch: int | None = None) -> None:
    """All of a stage: renders, steps, what is left."""
    asked = {"preset": "toy", "layout": "sdxs", "steps": 3, "batch": 4, "pictures": 8}
    with suppress(stage.Ended):
        teacher.train(teacher.Options(
            run=run, autoencoder=given / "v", text=given / "x", resolution=64, save_minutes=0,
            micro_batch=micro_batch, **asked,
        ))  # fmt: skip
        assert ranks.is_main()  # who alone leaves anything


def toy_distill(run: Path, student: Path, pictures: Path, micro_batch: int | None = None) -> None:
    """A discriminator, and a student that it leads to real pictures."""
    with suppress(stage.Ended):
        distill.train(distill.Options(
            run=run, student=student, autoencoder=student, real=pictures, adversary=1.0, steps=3,
            batch=4, save_minutes=0, micro_batch=micro_batch,
        ))  # fmt: skip


def misspelt(folder: Path) -> None:
    teacher.main(["--steps", "0"])


def alone(folder: Path) -> None:
    toy = Toy(1)
    toy.run(folder, 2)


def learns_a_unet(folder: Path, fsdp: bool, stop: int | None = None) -> UNet2DConditionModel:
    """Two steps of a toy U-Net in float64, in four micro-batches; saved after each."""
    torch.manual_seed(ranks.rank())  # the main rank's counts
    unet = UNet2DConditionModel(
        block_out_channels=(8,), down_block_types=(DOWN,), up_block_types=(UP,), norm_num_groups=4,
        mid_block_type=None, layers_per_block=1, cross_attention_dim=8, attention_head_dim=2,
    ).double()  # fmt: skip
    learner = Learner("unet", unet, 1e-3, 0.9, scale=Scale(4, checkpointing=True, sharded=fsdp))

    def one(generator: torch.Generator) -> MicroBatch:
        x, words = (torch.randn(shape, generator=generator).double()
                    for shape in ((2, 4, 8, 8), (2, 5, 8)))  # fmt: skip
        with short_attention():
            said = unet(x, torch.tensor([3, 500]), words, return_dict=False)[0]
        loss = (said - x).square().mean()
        return MicroBatch(loss, {"loss": loss.item()})

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        if index == stop:
            raise loop.TrainingError("no further")
        return {**learner.learn(generator, 1.0, one), "norm": learner.norm}

    loop.run(folder, learner.parts, step, steps=2, seed=1, settings={}, title="unet",
             save_seconds=0)  # fmt: skip
    sharding.make_whole(learner.parts.values())
    if ranks.is_main():
        learner.settle()
    return unet


def shared_out(folder: Path) -> None:
    """Without a stop; stopped, and gone on with and without shares."""
    unet = learns_a_unet(folder / "whole", True)
    assert type(unet) is UNet2DConditionModel
    if ranks.is_main():
        unet.save_pretrained(folder / "unet")
    for name, after in (("shared", True), ("plain", False)):
        with suppress(loop.TrainingError):
            learns_a_unet(folder / name, True, stop=1)
        learns_a_unet(folder / name, after)


def toy_warmup(run: Path, given: Path, **asked: Any) -> None:
    """All of a stage, from a checkpoint and its pairs."""
    how = {"batch": 2, "micro_batch": 1, "steps": 2, "lr": 1e-3, **asked}
    with suppress(stage.Ended):
        warmup.train(warmup.Options(
            run=run, offline=given / "offline", pairs=given / "pairs", **how
        ))  # fmt: skip


def toy_warmup_shared_out(run: Path, given: Path) -> None:
    toy_warmup(run, given, fsdp=True, gradient_checkpointing=True)
