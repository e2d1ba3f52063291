"""Losses of the recipe: each takes tensors and returns one; weights belong to the stages."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sdxs.model.text import Words
from sdxs.train.parts.features import Encode
from sdxs.train.parts.latents import LABELS

C1, C2 = 0.01, 0.03  # SSIM's constants, by the variance of a feature channel
DISTS = "in eq. 10, add the likenesses of means and of structure, as DISTS; SSIM multiplies them"


def ssim(a: Tensor, b: Tensor, window: int = 3, *, dists: bool = False) -> Tensor:
    """Mean structural similarity of feature maps (B, C, h, w) over uniform windows, at most 1.

    Wang et al. 2004, eq. 13. The constants are relative to the variance of `b` per channel, since
    features have no fixed range. Where the means of a window differ in sign, the product asks for
    the opposite structure. dists: half the sum of both factors instead, which asks for the same
    structure everywhere (DISTS, arXiv 2004.07728, where the window is the whole map).
    """
    several = min(b[:, 0].numel() - 1, 1)  # by n - 1, but of one number it is 0
    spread = b.var((0, 2, 3), correction=several, keepdim=True).detach()  # (1, C, 1, 1)
    c1, c2 = C1 * spread + 1e-6, C2 * spread + 1e-6

    window = min(window, *b.shape[2:])

    def blur(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, window, stride=1)

    mean_a, mean_b = blur(a), blur(b)
    var_a = blur(a * a) - mean_a**2
    var_b = blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    both = (luminance + structure) / 2 if dists else luminance * structure
    return both.mean()


def feature_matching(
    encode: Encode, ours: Tensor, target: Tensor, words: Words, *, dists: bool = False
) -> Tensor:
    """Eq. 10 with the sign mended: mean over layers of 1 - SSIM of frozen features.

    ours, target: latents (B, 4, h, w), of B prompts. dists: as `ssim` has it.
    """
    with torch.no_grad():
        wanted = encode(target, words)
    got = encode(ours, words)
    pairs = zip(got, wanted, strict=True)
    parts = [1 - ssim(a.float(), b.float(), dists=dists) for a, b in pairs]
    return torch.stack(parts).mean()


def reconstruction_loss(ours: Tensor, target: Tensor) -> Tensor:
    """L1 of pictures (B, C, H, W), and of their differences along both sides at three scales."""
    loss = (ours - target).abs().mean()
    for _ in range(3):
        for dim in (-1, -2):
            loss = loss + (ours.diff(dim=dim) - target.diff(dim=dim)).abs().mean()
        ours, target = F.avg_pool2d(ours, 2), F.avg_pool2d(target, 2)
    return loss


def coarse_l1(ours: Tensor, target: Tensor, scale: int) -> Tensor:
    """The first term of eq. 5: L1 of pictures (B, 3, H, W) made `scale` times smaller."""
    return F.l1_loss(F.avg_pool2d(ours, scale), F.avg_pool2d(target, scale))


def proportion(first: Tensor, second: Tensor, weight: Tensor) -> float:
    """What to weigh the second loss with for both to pull equally hard at a weight."""
    (own,) = torch.autograd.grad(first, weight, retain_graph=True)
    (other,) = torch.autograd.grad(second, weight, retain_graph=True)
    return (own.norm() / other.norm().clamp(min=1e-8)).clamp(max=1e3).item()


def segmentation(logits: Tensor, seen: Tensor) -> Tensor:
    """Cross entropies of kinds and of colours: logits (B, sum(LABELS), h, w) and such shares."""
    parts = zip(logits.split(LABELS, 1), seen.split(LABELS, 1), strict=True)
    return torch.stack([F.cross_entropy(ours, wanted) for ours, wanted in parts]).sum()


def score_difference(fake: Tensor, real: Tensor, t: Tensor, alphas: Tensor) -> Tensor:
    """s_phi - s_p of eq. 12, (B, ...), from what the online and the offline model take x_t for.

    By Tweedie's formula a score is (a x0 - x_t) / s^2, so x_t cancels. t: (B,); alphas: (T,).
    """
    alpha = alphas.to(fake.device, fake.dtype)[t.to(fake.device)]
    alpha = alpha.reshape(-1, *[1] * (fake.ndim - 1))
    return alpha.sqrt() / (1 - alpha) * (fake - real)


def score_direction(x0: Tensor, fake: Tensor, real: Tensor, t: Tensor, alphas: Tensor) -> Tensor:
    """Eq. 12 with each row weighted to be of order one: the gradient on x0 (B, ...).

    The weight is s^2 / a, divided by the offline model's mean error (DMD2, arXiv 2405.14867).
    """
    error = (x0 - real).abs().mean(tuple(range(1, x0.ndim)), keepdim=True)  # (B, 1, ...)
    alpha = alphas.to(x0.device, x0.dtype)[t.to(x0.device)].reshape(error.shape)
    weight = (1 - alpha) / alpha.sqrt() / error.clamp(min=1e-6)
    return weight * score_difference(fake, real, t, alphas)


def hinge(reals: Sequence[Tensor], fakes: Sequence[Tensor]) -> Tensor:
    """A discriminator's loss: its logits above 1 on what is real, below -1 on what is not."""
    parts = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(reals, fakes, strict=True)]
    return torch.stack(parts).mean()


def unmasked(fakes: Sequence[Tensor]) -> Tensor:
    """The other side's loss: the lower, the more of it passes for real."""
    return -torch.stack([logits.mean() for logits in fakes]).mean()


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """Asks each logit of `better` (B,) to be above its partner in `worse` (R3GAN, 2501.05441)."""
    return F.softplus(worse - better).mean()


def steepness(reals: Sequence[Tensor], seen: Sequence[Tensor]) -> Tensor:
    """R1 (arXiv 1801.04406, eq. 9): mean squared gradient of logits by what is seen, (B, ...)."""
    total = torch.stack([logits.sum() for logits in reals]).sum()
    slopes = torch.autograd.grad(total, list(seen), create_graph=True)
    return torch.stack([slope.flatten(1).square().sum(1).mean() for slope in slopes]).mean()
