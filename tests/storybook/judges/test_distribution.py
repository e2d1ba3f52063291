"""Frechet distance and sharpness against scipy, diversity by hand."""

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.ndimage import laplace

from sdxs.storybook.judges.distribution import diversity, frechet, sharpness


def test_frechet_agrees_with_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(count, 6, generator=generator).double() for count in (400, 300))
    a, b = a @ torch.randn(6, 6, generator=generator).double(), b + 0.3
    c, d = (torch.cov(x.T).numpy() for x in (a, b))
    apart = (a.mean(0) - b.mean(0)).square().sum().item()
    wanted = apart + c.trace() + d.trace() - 2 * sqrtm(c @ d).real.trace()
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-8)
    assert frechet(a, a) == pytest.approx(0, abs=1e-8)


def test_diversity_of_points_on_a_line() -> None:
    points = torch.tensor([[[0.0], [1.0], [3.0]], [[5.0], [5.0], [5.0]]])
    assert diversity(points) == pytest.approx((2 * (1 + 2 + 3) / 6) / 2)


def test_sharpness_agrees_with_scipys_laplacian() -> None:
    pictures = 2 * torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0)) - 1
    greys = (pictures.double().numpy().mean(1) + 1) / 2
    inside = [abs(laplace(grey)[1:-1, 1:-1]).mean() for grey in greys]  # no edge to make up
    assert sharpness(pictures) == pytest.approx(sum(inside) / 3, rel=1e-6)
    assert sharpness(torch.zeros(1, 3, 8, 8)) == 0
