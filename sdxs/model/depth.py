"""Networks that see depth: how near each place in a picture is, the nearer the more.

For the embedded world a small one of our own, trained on renders (`sdxs.train.depth`); for Hub
checkpoints Depth Anything V2 (arXiv 2406.09414), as transformers has it; to train by, DPT (arXiv
2103.13413), too. Knows nothing of control images, which `sdxs.conditions` makes of what is seen
here.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from sdxs.picture import unit

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, Depth Anything's
METRES = 0.1  # nothing is nearer


class DepthNetwork(ModelMixin, ConfigMixin):
    """Pictures (B, 3, H, W) in [-1, 1] to nearness (B, 1, H, W) in [0, 1]; a small U-Net.

    widths: channels of each stage, each at half the resolution of the one before.
    """

    @register_to_config
    def __init__(self, widths: Sequence[int] = (16, 32, 48, 64)) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.first = _convolution(3, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(a, b, stride=2), _convolution(b, b)) for a, b in pairs
        )
        self.up = nn.ModuleList(_convolution(a + b, a) for a, b in reversed(pairs))
        self.last = nn.Conv2d(widths[0], 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        h = self.first(pictures)
        skipped = [h]
        for stage in self.down:
            h = stage(h)
            skipped.append(h)
        skipped.pop()
        for stage in self.up:
            other = skipped.pop()
            h = stage(torch.cat((F.interpolate(h, other.shape[2:]), other), 1))
        nearness: Tensor = self.last(h).sigmoid()
        return nearness


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.SiLU()
    )  # fmt: skip


class DepthEstimator:
    """Sees depth in an RGB picture: (H, W) float32, the nearer the more. For any threads.

    processor: transformers', which prepares pictures; None for as Depth Anything was trained.
    """

    def __init__(self, network: Any, device: torch.device, processor: Any = None) -> None:
        self.network = network.to(device)
        self._device, self._processor = device, processor

    @torch.no_grad()
    def __call__(self, picture: Image.Image) -> NDArray[np.float32]:
        if isinstance(self.network, DepthNetwork):
            seen = self.network(_pixels(picture).to(self._device) * 2 - 1)[:, 0]
        else:
            seen = self.network(self._prepared(picture)).predicted_depth  # (1, h, w)
            if getattr(self.network.config, "depth_estimation_type", "") == "metric":
                seen = 1 / seen.clamp(min=METRES)  # the others say as much, but for scale and shift
        seen = F.interpolate(seen[:, None].float(), picture.size[::-1], mode="bicubic")
        near: NDArray[np.float32] = seen[0, 0].cpu().numpy()
        return near

    def _prepared(self, picture: Image.Image) -> Tensor:
        """As the processor has it, or as Depth Anything was trained: one side its own, both whole
        patches."""
        if self._processor is not None:
            pixels = self._processor(picture, return_tensors="pt").pixel_values
            return pixels.to(self._device, torch.float32)
        facts = self.network.config.backbone_config
        scale = min((facts.image_size / side for side in picture.size), key=lambda x: abs(1 - x))
        sides = (max(1, round(scale * side / facts.patch_size)) for side in picture.size)
        width, height = (facts.patch_size * count for count in sides)
        pixels = _pixels(picture.resize((width, height), Image.Resampling.BICUBIC))
        mean, deviation = (torch.tensor(part)[:, None, None] for part in (MEAN, DEVIATION))
        return ((pixels - mean) / deviation).to(self._device)


def _pixels(picture: Image.Image) -> Tensor:
    """An RGB picture as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(unit(picture)).permute(2, 0, 1)[None]
