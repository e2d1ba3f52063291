"""Score distillation: its gradient against Gaussians in closed form, its schedule, a toy run."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sdxs.train import distill
from sdxs.train.parts.batches import Batch
from sdxs.train.parts.distillation import Distillation, Term
from sdxs.train.parts.losses import score_difference, score_direction
from sdxs.train.parts.models import build_scheduler
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.segmented import ALPHA, HOLD, KAPPA, eased
from sdxs.train.parts.solver import Model
from sdxs.train.run import loop


def denoise(x: torch.Tensor, t: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor):
    """E[x0 | x_t] when x0 is a Gaussian, (B, D); all rows at one t."""
    a2 = build_scheduler().alphas_cumprod[t[0]].double()
    whole = a2 * covariance + (1 - a2) * torch.eye(len(mean)).double()
    gain = a2.sqrt() * covariance @ torch.linalg.inv(whole)
    return mean + (x - a2.sqrt() * mean) @ gain.T


def gaussian(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(3, 3, generator=generator).double()
    mean = torch.randn(3, generator=generator).double()
    return mean, root @ root.T + 0.1 * torch.eye(3).double()


@pytest.mark.parametrize("level", [20, 300, 700, 979])
def test_the_gradient_is_the_analytic_one_on_gaussians(level: int) -> None:
    """s_phi - s_p in closed form, - C_t^-1 (x - a m) each, for every sample of both."""
    schedule = Schedule.of(build_scheduler().config)
    alphas = schedule.alphas.double()
    (fake_mean, fake_cov), (real_mean, real_cov) = gaussian(1), gaussian(2)
    root = torch.linalg.cholesky(fake_cov)
    generator = torch.Generator().manual_seed(level)
    x0 = fake_mean + torch.randn(64, 3, generator=generator).double() @ root.T
    t = torch.full((64,), level)
    x = schedule.add_noise(x0, torch.randn(64, 3, generator=generator).double(), t)
    fake, real = denoise(x, t, fake_mean, fake_cov), denoise(x, t, real_mean, real_cov)

    a2 = alphas[level]
    wanted = 0
    for sign, mean, covariance in ((1, fake_mean, fake_cov), (-1, real_mean, real_cov)):
        whole = a2 * covariance + (1 - a2) * torch.eye(3).double()
        wanted = wanted - sign * (x - a2.sqrt() * mean) @ torch.linalg.inv(whole)
    ours = score_difference(fake, real, t, alphas)
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)
    pull = score_direction(x0, fake, real, t, alphas)
    cosines = torch.nn.functional.cosine_similarity(pull, wanted)
    assert (cosines > 1 - 1e-5).all()


def test_a_gaussian_moves_to_the_other_one() -> None:
    """Samples that follow the stage's own gradient end where the offline model's lie."""
    schedule = Schedule.of(build_scheduler().config)
    alphas = schedule.alphas.double()
    (mean, covariance) = gaussian(3)
    generator = torch.Generator().manual_seed(0)
    shift = torch.zeros(3).double()
    noise = torch.randn(4096, 3, generator=generator).double() @ torch.linalg.cholesky(covariance).T
    for _ in range(200):
        x0 = shift + noise
        t = torch.randint(20, 980, (1,), generator=generator).expand(len(x0))
        x = schedule.add_noise(x0, torch.randn(x0.shape, generator=generator).double(), t)
        fake, real = denoise(x, t, shift, covariance), denoise(x, t, mean, covariance)
        shift = shift - 0.5 * score_direction(x0, fake, real, t, alphas).mean(0)
    assert (shift - mean).abs().max() < 0.05


def test_the_schedule_holds_then_falls() -> None:
    values = [eased(step, 1000, ALPHA) for step in range(1001)]
    assert values[0] == values[int(1000 * HOLD)] == ALPHA[0]
    assert values[1000] == pytest.approx(ALPHA[1])
    assert all(a >= b for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("first", [1, 80])
def test_until_then_nothing_depends_on_how_many_steps_there_are(first: int) -> None:
    """So that a run may still be made longer or shorter (`flat` of the loop)."""
    few, many = 400, 5000
    for index in range(first, int(HOLD * few)):
        for curve in (
            lambda done, whole: eased(done, whole, ALPHA),
            lambda done, whole: loop.trapezoid(done, whole, warmup=50),
        ):
            assert curve(index - first, few - first) == curve(index - first, many - first)


def test_too_few_steps_are_refused(tmp_path) -> None:
    there = {"offline": tmp_path, "pairs": tmp_path}
    for wrong, why in (
        ({"steps": 80}, "80 steps are not enough: the first 80"),
        ({"micro_batch": 1}, "half of each micro-batch are pairs: it must be 2 or more"),
        ({"kappa": (1.0, -1.0)}, "below 0 would lead away from the pairs"),
        ({"kappa": (1.0, 0.0), "unmatched": True}, "give no --kappa"),
    ):
        with pytest.raises(loop.TrainingError, match=why):
            distill.train(distill.Options(run=tmp_path, **wrong, **there))


@pytest.mark.parametrize("asked", [(), (3.0, 0.0)])
def test_feature_matching_is_as_strong_as_was_asked(
    asked: tuple[float, ...], given: Path, model: Model, tmp_path: Path
) -> None:
    """Of the scores' pull: kappa times it at first; at the last step next to nothing of 0."""
    options = distill.Options(run=tmp_path, kappa=asked, steps=1000, online_first=1)
    term = Term("matching", lambda x0, *_: (torch.ones_like(x0), 0.0), options.strength)
    scores = SimpleNamespace(pull=lambda x0, *_: torch.full_like(x0, x0.numel()))
    made = Distillation(options, scores, None, [term], None, None)  # type: ignore[arg-type]
    x0 = torch.zeros(2, 4, 8, 8)
    batch = Batch(model, x0, model.embed(["", ""]), x0)
    for index, share in ((1, 0), (999, 1)):
        found, _ = made.pull(index, x0, batch, torch.Generator())
        wanted = 1 + (asked or KAPPA)[share]
        torch.testing.assert_close(found, torch.full_like(x0, wanted), rtol=1e-4, atol=1e-4)
