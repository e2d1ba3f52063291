"""The ring of Gaussians: its exact scores by automatic differentiation, and what is measured."""

import math
from pathlib import Path

import gaussians
import pytest
import torch
from PIL import Image

from sdxs.train.run import loop


def test_a_mistake_is_named(ran) -> None:
    wrong = {"x.jpg": "does not end in .png", "nowhere/x.png": "there is no folder nowhere"}
    for figure, expected in wrong.items():
        status, _, said = ran(gaussians.main, "--figure", figure)
        assert status == 2 and expected in said


@pytest.mark.parametrize("level", [5, 250, 700, 999])
def test_denoising_is_the_score_of_the_mixture(level: int) -> None:
    """Tweedie: E[x0 | x] = (x + s^2 grad log p(x)) / a, the gradient taken by autograd."""
    a2 = gaussians.ALPHAS[level].double()
    x = torch.randn(64, 2, generator=loop.chance(0, level)).double().requires_grad_()
    spread = a2 * gaussians.SPREAD**2 + 1 - a2
    apart = (x[:, None] - a2.sqrt() * gaussians.centres().double()).square().sum(-1)
    log_p = torch.logsumexp(-apart / (2 * spread), 1)
    (score,) = torch.autograd.grad(log_p.sum(), x)
    wanted = (x + (1 - a2) * score) / a2.sqrt()
    t = torch.full((64,), level)
    ours = gaussians.denoise(x.detach(), t)
    torch.testing.assert_close(ours, wanted.detach(), rtol=1e-4, atol=1e-4)


def test_the_mixture_has_unit_variance_and_measures_as_itself() -> None:
    points = gaussians.mixture(20_000, loop.chance(0, 1))
    assert points.std(0) == pytest.approx([1, 1], abs=0.02)
    found = gaussians.measure(points)
    assert found["modes"] == 8 and found["frechet"] < 0.01
    assert found["near"] == pytest.approx(1 - math.exp(-(gaussians.NEAR**2) / 2), abs=0.005)


def test_the_exact_solver_ends_in_the_mixture() -> None:
    found = gaussians.measure(gaussians.solve(torch.randn(4096, 2, generator=loop.chance(0, 2))))
    assert found["modes"] == 8 and found["near"] > 0.95


def test_a_collapse_is_seen() -> None:
    one = gaussians.centres()[:1] + 0.01 * torch.randn(1000, 2, generator=loop.chance(0, 3))
    found = gaussians.measure(one)
    assert found["modes"] == 1 and found["near"] == 1 and found["frechet"] > 1


@pytest.mark.parametrize("method", gaussians.METHODS)
def test_every_method_moves_points_towards_the_mixture(method: str) -> None:
    noise = torch.randn(2000, 2, generator=loop.chance(0, 4))
    torch.manual_seed(0)
    before = gaussians.measure(gaussians.paint(gaussians.Network(), noise).detach())
    after = gaussians.measure(gaussians.paint(gaussians.train(method, 0, 120), noise).detach())
    assert after["frechet"] < 0.5 * before["frechet"] and after["near"] > before["near"] + 0.1


def test_plain_noise_has_the_mixtures_moments_but_none_of_its_modes() -> None:
    found = gaussians.measure(torch.randn(10_000, 2, generator=loop.chance(0, 5)))
    assert found["frechet"] < 0.01 and found["modes"] == 0 and found["near"] < 0.2


def test_clouds_stand_side_by_side(tmp_path: Path) -> None:
    widths = []
    for count in (1, 3):
        clouds = {f"cloud {i}": torch.randn(50, 2) for i in range(count)}
        gaussians.show(clouds, tmp_path / f"{count}.png")
        widths.append(Image.open(tmp_path / f"{count}.png").width)
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.05)
