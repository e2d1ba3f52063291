"""How pictures lie as a whole: Frechet distance, diversity, sharpness.

They say what scores of single pictures cannot: whether what is painted is as varied, and as like
the renders, as it should be. The first two are of evaluator features.
"""

import torch
from torch import Tensor
from tqdm import tqdm

from sdxs.storybook.judges.accuracy import look
from sdxs.storybook.judges.evaluator import Evaluator
from sdxs.storybook.judges.painters import Painter, by_renderer
from sdxs.storybook.world.captions import described, frozen_captions
from sdxs.storybook.world.scenes import HELD_OUT_SEED, sample_scenes

SEEDS = 8  # pictures of each caption, for the diversity


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of features (N, F) and (M, F), each taken for a Gaussian.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017, arXiv 1706.08500, eq. 6).
    """
    a, b = a.double(), b.double()
    first, second = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # of `first`
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return float(apart + first.trace() + second.trace() - 2 * cross)


def diversity(features: Tensor) -> float:
    """Mean distance of two pictures of the same caption; features (captions, seeds, F)."""
    count = features.shape[1]
    apart = torch.cdist(features.double(), features.double())  # (captions, seeds, seeds)
    return float(apart.sum((1, 2)).mean() / (count * (count - 1)))


def sharpness(pictures: Tensor) -> float:
    """Mean size of the Laplacian of the grey pictures; (B, 3, R, R) in [-1, 1], grey in [0, 1]."""
    grey = (pictures.mean(1) + 1) / 2
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return float((around - 4 * middle).abs().mean())


def measure(paint: Painter, judge: Evaluator, count: int, resolution: int) -> dict[str, float]:
    """Frechet distance over `count` captions of held-out scenes, to the renders of other scenes.

    Diversity over 100 frozen captions and 8 seeds of each; sharpness of the latter pictures.
    """
    _, captions = described(count, HELD_OUT_SEED)
    painted = look(paint, judge, captions, "pictures").features
    draw = by_renderer(sample_scenes(count, HELD_OUT_SEED + 1), resolution)
    rendered = look(draw, judge, captions, "renders").features
    some = frozen_captions()[: min(100, count)]
    repeated, sharp = [], []
    for caption in tqdm(some, desc="diversity", dynamic_ncols=True, mininterval=2):
        pictures = paint([caption.text] * SEEDS, list(range(SEEDS))).float().cpu().clamp(-1, 1)
        with torch.no_grad():
            repeated.append(judge(pictures).features)
        sharp.append(sharpness(pictures))
    return {
        "frechet": round(frechet(painted, rendered), 4),
        "diversity": round(diversity(torch.stack(repeated)), 4),
        "sharpness": round(sum(sharp) / len(sharp), 5),
        "n": count,
    }
