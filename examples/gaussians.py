"""Eight Gaussians on a ring: what feature matching, score distillation and both do to one step.

It needs what training needs: pip install '.[train]' -c constraints.txt

`python examples/gaussians.py` prints, over ten seeds, how many of the eight a one-step model
covers and how far its points lie from the mixture. All scores of the offline model are exact here,
in closed form, so whatever goes wrong is the method's. A point is its own feature: matching is the
squared error. The schedules are those of `train.parts.segmented`. Mean and variance of the ring are
those of plain noise, to which the Frechet distance is therefore blind: the modes and the share of
points in them tell more.
"""

import argparse
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sdxs.storybook.judges.distribution import frechet
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.losses import score_direction
from sdxs.train.parts.models import build_scheduler
from sdxs.train.parts.plots import plots, png
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.segmented import ALPHA, KAPPA, LOWEST, Balance, eased, noised
from sdxs.train.run import loop
from sdxs.train.run.options import Help, positive
from sdxs.train.run.stage import command

MODES, SPREAD = 8, 0.1
RADIUS = math.sqrt(2 * (1 - SPREAD**2))  # then the whole has unit variance
METHODS = ("matching", "scores", "segmented")
SCHEDULE = Schedule.of(build_scheduler().config)
ALPHAS, STEPS = SCHEDULE.alphas, len(SCHEDULE)
NEAR = 3.0  # spreads from a centre within which a point counts as its mode's
SHARE = 0.5  # of the points that a mode should have, from which on it counts as covered


def centres() -> Tensor:
    """(MODES, 2), evenly on a ring."""
    angles = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack((angles.cos(), angles.sin()), 1)


def mixture(count: int, generator: torch.Generator) -> Tensor:
    """Points (count, 2) of the mixture."""
    rows = torch.randint(MODES, (count,), generator=generator)
    return centres()[rows] + SPREAD * torch.randn(count, 2, generator=generator)


def denoise(x: Tensor, t: Tensor) -> Tensor:
    """E[x0 | x_t] of the mixture, in closed form; x (B, 2), t (B,) integer."""
    a = ALPHAS[t].sqrt()[:, None]
    noise = (1 - ALPHAS[t])[:, None]
    whole = a**2 * SPREAD**2 + noise  # variance of x_t about a centre
    apart = x[:, None] - a[:, None] * centres()  # (B, MODES, 2)
    weights = (-apart.square().sum(-1) / (2 * whole)).softmax(-1)[..., None]
    gain = (a * SPREAD**2 / whole)[:, None]
    return (weights * (centres() + gain * apart)).sum(1)


def solve(noise: Tensor, steps: int = 50) -> Tensor:
    """Where the exact probability-flow ODE leads from noise (B, 2), by DDIM."""
    times = torch.linspace(STEPS - 1, 0, steps + 1).long()
    x = noise
    for now, then in itertools.pairwise(times):
        x0 = denoise(x, now.expand(len(x)))
        direction = (x - ALPHAS[now].sqrt() * x0) / (1 - ALPHAS[now]).sqrt()
        x = ALPHAS[then].sqrt() * x0 + (1 - ALPHAS[then]).sqrt() * direction
    return denoise(x, times[-1].expand(len(x)))


class Network(nn.Module):
    """v (B, 2) from points (B, 2) and timesteps (B,)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + 16, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = (t / STEPS)[:, None] * (math.pi * 2 ** torch.arange(8))
        return self.layers(torch.cat((x, angles.sin(), angles.cos()), 1))


def train(method: str, seed: int, steps: int, batch: int = 256, lr: float = 1e-3) -> Network:
    """The one-step model that a method makes in `steps` updates, from random weights."""
    torch.manual_seed(seed)
    student, online = Network(), Network()
    learner, follower = (
        Learner("network", network, lr, clip=None, betas=(0.9, 0.999), weight_decay=0.0, fused=None)
        for network in (student, online)
    )
    noises = torch.randn(4096, 2, generator=loop.chance(seed, -1))
    targets = solve(noises)
    balance = Balance()

    for index in range(steps):
        generator, factor = loop.chance(seed, index), loop.trapezoid(index, steps)
        if method != "matching":
            for _ in range(2):  # keep the online model true to the one-step model's points
                with torch.no_grad():
                    x0 = paint(student, torch.randn(batch, 2, generator=generator))
                x, noise, t = noised(SCHEDULE, x0, 0, 1, generator)
                error = online(x, t) - SCHEDULE.target(x0, noise, t)
                follower.update(error.square().mean(), factor)
        rows = torch.randint(len(noises), (batch,), generator=generator)
        ours = paint(student, noises[rows])
        pull_fm = (ours.detach() - targets[rows]) / ours.numel()
        pull = pull_fm
        if method != "matching":
            alpha = eased(index, steps, ALPHA) if method == "segmented" else 1.0
            x, _, t = noised(SCHEDULE, ours.detach(), LOWEST, alpha, generator)
            with torch.no_grad():
                fake, real = SCHEDULE.x0(x, online(x, t), t), denoise(x, t)
            pull = score_direction(ours.detach(), fake, real, t, ALPHAS) / ours.numel()
            if method == "segmented":
                ratio = balance.seen({"scores": pull.norm(), "matching": pull_fm.norm()})
                balance.settle()
                kappa = eased(index, steps, KAPPA)
                pull = pull + kappa * ratio("scores", "matching") * pull_fm
        learner.update(ours, factor, pull)
    return student


def paint(student: Network, noise: Tensor) -> Tensor:
    """The one-step model's points, from noise (B, 2)."""
    last = torch.full((len(noise),), STEPS - 1)
    return SCHEDULE.x0(noise, student(noise, last), last)


def measure(cloud: Tensor) -> dict[str, float]:
    """Modes covered, share of the points that lie in one, Frechet distance to the mixture."""
    distance, mode = torch.cdist(cloud, centres()).min(1)
    near = distance <= NEAR * SPREAD
    shares = torch.bincount(mode[near], minlength=MODES) / len(cloud)
    true = mixture(len(cloud), loop.chance(0, -2))
    return {
        "modes": int((shares * MODES >= SHARE).sum()),
        "near": round(near.float().mean().item(), 4),
        "frechet": round(frechet(cloud, true), 5),
    }


def show(clouds: Mapping[str, Tensor], output: Path, shown: int = 3000) -> None:
    """Clouds of points (N, 2) side by side."""
    plt = plots()
    figure, axes = plt.subplots(
        1, len(clouds), figsize=(3 * len(clouds), 3.2), squeeze=False, layout="constrained"
    )
    for axis, (name, cloud) in zip(axes[0], clouds.items(), strict=True):
        axis.scatter(*cloud[:shown].T.tolist(), s=1, alpha=0.4)
        axis.set(title=name, xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
        axis.tick_params(labelsize=7)
    figure.savefig(output, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    ours = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=Help)
    add = ours.add_argument
    add("--seeds", type=positive, default=10, help="runs of each method")
    add("--steps", type=positive, default=3000, help="updates in each")
    add("--figure", type=png, metavar="PNG", help="for the points of the first seed")
    options = ours.parse_args(arguments)
    found: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    first: dict[str, Tensor] = {}
    every = list(itertools.product(range(options.seeds), METHODS))
    for seed, method in tqdm(every, desc="models", dynamic_ncols=True):
        noise = torch.randn(10_000, 2, generator=loop.chance(seed, -3))
        cloud = paint(train(method, seed, options.steps), noise).detach()
        found[method].append(measure(cloud))
        first.setdefault(method, cloud)
    for method, rows in found.items():
        for row in rows:
            print(json.dumps({"method": method, **row}))
    for method, rows in found.items():
        means = {name: round(sum(row[name] for row in rows) / len(rows), 5) for name in rows[0]}
        print(json.dumps({"method": method, "mean of": len(rows), **means}))
    if options.figure is not None:
        show({"the mixture": mixture(10_000, loop.chance(0, -2)), **first}, options.figure)


if __name__ == "__main__":
    command(main)
