"""A second network that sees depth, to judge pictures by: it takes part in no training.

Built otherwise than the one that makes control images (`sdxs.model.depth.DepthNetwork`): wide
depthwise convolutions at a quarter of the resolution, no skips. `sdxs.train.depth` trains both.
"""

from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.checkpoint.tensors import build
from sdxs.checkpoint.weights import fill, part_of

BLOCKS, WINDOW = 6, 9  # not dilated: on a CPU, such gradients in bfloat16 are not always numbers


class DepthJudge(ModelMixin, ConfigMixin):
    """Pictures (B, 3, H, W) in [-1, 1] to nearness (B, 1, H, W) in [0, 1]."""

    @register_to_config
    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 7, 4, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, WINDOW, padding=WINDOW // 2, groups=width),
                nn.GroupNorm(4, width), nn.Conv2d(width, 2 * width, 1), nn.ELU(),
                nn.Conv2d(2 * width, width, 1),
            )
            for _ in range(BLOCKS)
        )  # fmt: skip
        self.last = nn.Conv2d(width, 16, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        h = self.first(pictures)
        for block in self.blocks:
            h = h + block(h)
        fine = F.pixel_shuffle(self.last(h), 4)
        return fine[..., : pictures.shape[2], : pictures.shape[3]].sigmoid()

    @classmethod
    def load(cls, folder: Path) -> "DepthJudge":
        """Raises CheckpointError."""
        part = part_of(folder, {cls.__name__: cls}, "diffusion_pytorch_model")
        judge = build(lambda: cls.from_config(part.config), part.file)
        return fill(judge, part.weights, torch.float32)


def agreement(seen: Tensor, wanted: Tensor) -> Tensor:
    """Pearson's correlation of maps (B, 1, H, W), row by row: (B,). 0 where one of them is flat."""
    a, b = (part.flatten(1).double() for part in (seen, wanted))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    sizes = (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-12)
    return (a * b).sum(1) / sizes
