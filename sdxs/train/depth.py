"""Networks that see depth, trained on renders, whose depth is exact: for controls, or to judge.

`python -m sdxs.train.depth` makes the one that ships beside a depth control, `--kind judge` the one
that scores it, of another build and from other renders.
"""

from typing import Any

import torch
from torch import Tensor, nn

from sdxs.model.depth import DepthNetwork
from sdxs.storybook.judges.depth import DepthJudge, agreement
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes
from sdxs.train.parts.learner import Learner
from sdxs.train.parts.losses import reconstruction_loss
from sdxs.train.parts.renders import distorted, rendered, to_bytes, to_unit
from sdxs.train.run import loop, stage
from sdxs.train.run.machine import DEVICE, fast, placed
from sdxs.train.run.options import RenderOptions, option, positive

KINDS: dict[str, type[Any]] = {"network": DepthNetwork, "judge": DepthJudge}
SEEDS = {"network": 14, "judge": 99}
BLURRED = 0.5  # share of the pictures


def drawn(count: int, seed: int, resolution: int) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, R, R) and their depths (N, 1, R, R), both as bytes."""
    pictures, depths = [], []
    for batch in rendered(sample_scenes(count, seed, unseen="any"), resolution, "renders"):
        pictures.append(to_bytes(batch.picture))
        depths.append((255 * batch.depth).round().clamp(0, 255).byte())
    return torch.cat(pictures), torch.cat(depths)


@torch.no_grad()
def held_out(network: nn.Module, resolution: int, count: int) -> float:
    """Mean correlation with the exact depth of renders that no stage trains on."""
    scenes = sample_scenes(count, HELD_OUT_SEED, unseen="any")
    renders = rendered(scenes, resolution, device=DEVICE)
    parts = [agreement(network(batch.picture), batch.depth) for batch in renders]
    return float(torch.cat(parts).mean())


class Options(RenderOptions, steps=2000, batch=16, lr=2e-3, pictures=4000):
    kind: str = option("network", "what it is for", choices=KINDS)
    held_out: int = option(256, "renders to measure it on", type=positive, recorded="never")
    seed: int = option(None, f"of all chance (default: {SEEDS})", type=int)

    def __post_init__(self) -> None:
        if self.seed is None:
            object.__setattr__(self, "seed", SEEDS[self.kind])


def train(options: Options) -> None:
    """Leave a network of the kind, one of KINDS, in `run`. Raises TrainingError."""
    sources, depths = drawn(options.pictures, options.seed, options.resolution)
    torch.manual_seed(options.seed)
    network = placed(KINDS[options.kind]().train())
    learner = Learner("network", network, options.lr, betas=(0.9, 0.999))

    def step(index: int, generator: torch.Generator) -> dict[str, float]:
        rows = torch.randint(len(sources), (options.batch,), generator=generator)
        x = distorted(to_unit(sources[rows]), BLURRED, generator).clamp(-1, 1)
        with fast():
            ours = network(placed(x))
        loss = reconstruction_loss(ours.float(), depths[rows].float().to(DEVICE) / 255)
        learner.update(loss, loop.cosine(index, options.steps))
        return {"loss": loss.item()}

    with stage.trained(options, learner.parts, step, {}) as measured:
        measured["agreement"] = round(
            held_out(network.eval(), options.resolution, options.held_out), 4
        )
        network.half().save_pretrained(options.run / "depth")


main = stage.main(Options, train, __name__)
