"""Networks that see depth, trained on renders, whose depth is exact: for controls, or to judge.

`python -m sdxs.train.depth` makes the one that ships beside a depth control, `--kind judge` the one
that scores it, of another build and from other renders.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sdxs.model.depth import DepthNetwork
from sdxs.storybook.judges.depth import DepthJudge, agreement
from sdxs.storybook.world.render import render
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes
from sdxs.train.autoencoder import reconstruction_loss, to_unit
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed

KINDS: dict[str, type[Any]] = {"network": DepthNetwork, "judge": DepthJudge}
SEEDS = {"network": 14, "judge": 99}
CHUNK = 32
BLUR, NOISE = 0.5, 0.08  # share of the pictures that are blurred; the most noise that is added


def drawn(count: int, seed: int, resolution: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, R, R) and their depths (N, 1, R, R), both as bytes."""
    scenes = sample_scenes(count, seed, unseen="any")
    pictures, depths = [], []
    for i in tqdm(range(0, count, CHUNK), desc="renders", dynamic_ncols=True, mininterval=2):
        batch = render(scenes[i : i + CHUNK], resolution)
        pictures.append(((batch.picture + 1) * 127.5).round().clamp(0, 255).byte())
        depths.append((255 * batch.depth).round().clamp(0, 255).byte())
    return torch.cat(pictures), torch.cat(depths)


@torch.no_grad()
def held_out(network: nn.Module, resolution: int, count: int = 256) -> float:
    """Mean correlation with the exact depth of renders that no stage trains on."""
    scenes = sample_scenes(count, HELD_OUT_SEED, unseen="any")
    parts = []
    for i in range(0, count, CHUNK):
        batch = render(scenes[i : i + CHUNK], resolution, DEVICE)
        parts.append(agreement(network(batch.picture), batch.depth))
    return float(torch.cat(parts).mean())


def train(
    run: Path,
    *,
    kind: str,
    steps: int,
    batch: int,
    lr: float,
    pictures: int,
    resolution: int,
    seed: int,
    save_seconds: float = 180.0,
) -> None:
    """Leave a network of `kind`, one of KINDS, in `run`. Raises TrainingError."""
    sources, depths = drawn(pictures, seed, resolution)
    torch.manual_seed(seed)
    network = placed(KINDS[kind]().train())
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=0.01, fused=True)

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        loop.set_lr(optimizer, lr * loop.cosine(index, steps))
        rows = torch.randint(pictures, (batch,), generator=generator)
        x = to_unit(sources[rows])
        soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = torch.where(torch.rand(batch, 1, 1, 1, generator=generator) < BLUR, soft, x)
        strength = NOISE * torch.rand(batch, 1, 1, 1, generator=generator)
        x = (x + strength * torch.randn(x.shape, generator=generator)).clamp(-1, 1)
        with fast():
            ours = network(x.to(DEVICE, memory_format=torch.channels_last))
        loss = reconstruction_loss(ours.float(), depths[rows].float().to(DEVICE) / 255)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.item()}

    settings = {
        "kind": kind, "batch": batch, "lr": lr, "pictures": pictures, "resolution": resolution
    }  # fmt: skip
    seconds = loop.run(
        run, {"network": network, "optimizer": optimizer}, step, steps=steps, seed=seed,
        settings=settings, title=f"depth {kind}", save_seconds=save_seconds,
    )  # fmt: skip
    measured = {"agreement": round(held_out(network.eval(), resolution), 4)}
    network.half().save_pretrained(run / "depth")
    stage.finish(run, "depth", seconds, **measured, **settings, steps=steps, seed=seed)


def main(arguments: list[str] | None = None) -> None:
    parser = stage.options(
        "depth", __doc__,
        steps=2000, batch=16, lr=2e-3, pictures=4000, resolution=128,
    )  # fmt: skip
    parser.add_argument("--kind", choices=KINDS, default="network", help="what it is for")
    parser.add_argument("--seed", type=int, help=f"of all chance (default: {SEEDS})")
    options = vars(parser.parse_args(arguments))
    if options["seed"] is None:
        options["seed"] = SEEDS[options["kind"]]
    train(options.pop("run"), **options)


if __name__ == "__main__":
    stage.command(main)
