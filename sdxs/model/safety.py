"""The safety checker: Stable Diffusion's own, which compares pictures with unwanted concepts.

A picture that it flags is blurred beyond recognition and said to be. Knows nothing of names,
pages or prompts.
"""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.errors import SafetyWarning
from sdxs.picture import check_finite, to_pictures

COARSE = 6  # a hidden picture keeps this many patches of colour along a side
BLURRED = (  # of one picture or several, and right for whoever sees one of them
    "what the safety checker takes for unsafe, rightly or not, was blurred; try another seed or "
    "other words"
)


class SafetyChecker:
    """Flags pictures. Any number of threads may call it."""

    def __init__(self, network: Any, processor: Any, device: torch.device) -> None:
        self._network = network.to(device)
        self._processor = processor
        self._device = device

    @torch.no_grad()
    def flags(self, images: Tensor) -> list[bool]:
        """Whether each of (B, 3, H, W), nominally [-1, 1], shows what should not be shown.

        What diffusers' checker computes, its comparisons in float32 whatever the network's dtype.
        Raises NotFiniteError.
        """
        net = self._network
        pixels = self._processor(to_pictures(images), return_tensors="pt").pixel_values
        pixels = pixels.to(self._device, net.vision_model.dtype)  # (B, 3, side, side)
        seen = net.vision_model(pixels)[1].float()  # (B, W)
        check_finite(seen, net.vision_model.dtype, "the safety checker")  # NaN is above nothing
        seen = F.normalize(net.visual_projection(seen))  # (B, P)
        special = seen @ F.normalize(net.special_care_embeds).T - net.special_care_embeds_weights
        adjustment = 0.01 * _above(special).any(1, keepdim=True)
        bad = seen @ F.normalize(net.concept_embeds).T - net.concept_embeds_weights + adjustment
        flagged: list[bool] = _above(bad).any(1).tolist()
        return flagged


def _above(scores: Tensor) -> Tensor:
    return scores.mul(1000).round() > 0  # to three digits, as diffusers does


def hide_flagged(checker: SafetyChecker | None, images: Tensor) -> Tensor:
    """(B, 3, H, W), those that the checker flags blurred: the caller's caller is warned of it."""
    if checker is None:
        return images
    flags = checker.flags(images)
    if any(flags):
        rows = [row for row, flagged in enumerate(flags) if flagged]
        # with torch's own step of `no_grad` in between
        warnings.warn(SafetyWarning(BLURRED, rows), stacklevel=4)
    return hide(images, flags)


def hide(images: Tensor, flags: list[bool]) -> Tensor:
    """(B, 3, H, W) with the flagged rows blurred beyond recognition."""
    if not any(flags):
        return images
    rows = torch.tensor(flags, device=images.device)
    coarse = F.adaptive_avg_pool2d(images, COARSE)
    blurred = F.interpolate(coarse, images.shape[-2:], mode="bilinear")
    return torch.where(rows.view(-1, 1, 1, 1), blurred, images)
