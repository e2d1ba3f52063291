"""Losses of the recipe: each takes tensors and returns one; weights belong to the stages."""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F


def ssim(a: Tensor, b: Tensor, window: int = 3) -> Tensor:
    """Mean structural similarity of feature maps (B, C, h, w) over uniform windows, at most 1.

    Wang et al. 2004, eq. 13. The constants are relative to the variance of `b` per channel, since
    features have no fixed range.
    """
    spread = b.var((0, 2, 3), keepdim=True).detach()  # (1, C, 1, 1)
    c1, c2 = 0.01 * spread + 1e-6, 0.03 * spread + 1e-6

    window = min(window, *b.shape[2:])

    def blur(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, window, stride=1)

    mean_a, mean_b = blur(a), blur(b)
    var_a = blur(a * a) - mean_a**2
    var_b = blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return (luminance * structure).mean()


def encoder_features(
    unet: UNet2DConditionModel, x: Tensor, t: Tensor, context: Tensor
) -> list[Tensor]:
    """What each down block of a U-Net makes of latents, before it halves them."""
    embedding = unet.time_embedding(unet.time_proj(t).to(x.dtype))
    h = unet.conv_in(x)
    features = []
    for block in unet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            h, residuals = block(h, embedding, encoder_hidden_states=context)
        else:
            h, residuals = block(h, embedding)
        features.append(residuals[0])
    return features


def feature_matching(
    unet: UNet2DConditionModel, ours: Tensor, target: Tensor, context: Tensor, t: int = 20
) -> Tensor:
    """Eq. 10 with the sign mended: mean over layers of 1 - SSIM of the frozen U-Net's features.

    ours, target: latents (B, 4, h, w), seen as if almost clean (timestep `t`).
    """
    time = torch.full((len(ours),), t, device=ours.device)
    with torch.no_grad():
        wanted = encoder_features(unet, target, time, context)
    got = encoder_features(unet, ours, time, context)
    parts = [1 - ssim(a.float(), b.float()) for a, b in zip(got, wanted, strict=True)]
    return torch.stack(parts).mean()


def score_direction(x0: Tensor, fake: Tensor, real: Tensor) -> Tensor:
    """Eq. 12 in the space of x0, each row scaled to be of order one: the gradient on x0 (B, ...).

    fake, real: what the online and the offline model take the noised x0 for. Their difference is
    that of the scores times s^2 / a; DMD2 (arXiv 2405.14867) divides by the offline model's error.
    """
    error = (x0 - real).abs().mean(tuple(range(1, x0.ndim)), keepdim=True)  # (B, 1, ...)
    return (fake - real) / error.clamp(min=1e-6)
