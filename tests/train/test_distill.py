"""Score distillation: its gradient against Gaussians in closed form, its schedule, a toy run."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sdxs.model.text import Words
from sdxs.train import distill
from sdxs.train.parts import losses
from sdxs.train.parts.batches import Batch
from sdxs.train.parts.distillation import Distillation, Term, matching
from sdxs.train.parts.losses import feature_matching, score_difference, score_direction
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


def itself(x: torch.Tensor, _: Words) -> list[torch.Tensor]:
    """Latents as their own features."""
    return [x]


@pytest.mark.parametrize("dists", [False, True])
@pytest.mark.parametrize("paired", [4, 2, 1])
def test_what_each_part_of_a_batch_weighs(paired: int, dists: bool, tmp_path) -> None:
    """Of four rows, on each of which scores pull as hard: kappa is of the whole batch's norms."""
    torch.manual_seed(0)
    x0, target = torch.randn(4, 4, 8, 8), torch.randn(paired, 4, 8, 8)
    batch = Batch(None, x0, Words(torch.zeros(4, 1, 1)), target)
    options = distill.Options(run=tmp_path, steps=101, online_first=1, dists=dists)
    scores = SimpleNamespace(pull=lambda x0, *_: torch.ones_like(x0))
    for index, alpha, kappa in ((1, ALPHA[0], KAPPA[0]), (101, ALPHA[1], KAPPA[1])):
        whole = Distillation(options, scores, None, [matching(itself)], draw=None, draw_online=None)
        pull, logged = whole.pull(index, x0, batch, torch.Generator())
        alone = torch.ones_like(x0) / x0.numel()
        more = pull - alone
        assert torch.equal(pull[paired:], alone[paired:])  # of no pair: by the scores alone
        assert more.norm() / alone.norm() == pytest.approx(kappa, rel=1e-4)
        of_a_row = more[:paired].norm() / math.sqrt(paired) / alone[0].norm()
        assert of_a_row == pytest.approx(math.sqrt(4 / paired) * kappa, rel=1e-4)

        leaf = x0[:paired].clone().requires_grad_()
        loss = feature_matching(itself, leaf, target, batch.words, dists=dists)
        (gradient,) = torch.autograd.grad(loss, leaf)
        assert logged["matching"] == pytest.approx(loss.item())
        assert logged["alpha"] == pytest.approx(alpha)
        assert logged["kappa_matching"] == pytest.approx(kappa)
        weight = kappa * (alone.norm() / gradient.norm()).item()
        assert logged["lambda_matching"] == pytest.approx(weight, rel=1e-4)
        torch.testing.assert_close(more[:paired], weight * gradient, rtol=1e-3, atol=1e-6)


def test_matching_is_the_mean_over_the_pairs(monkeypatch, tmp_path) -> None:
    """Each of n pairs weighs 1 / n, however many rows there are beside them."""
    for constant in ("C1", "C2"):  # which are of the batch, not of a row
        monkeypatch.setattr(losses, constant, 0)
    torch.manual_seed(0)
    x0, target = torch.randn(5, 4, 8, 8), torch.randn(3, 4, 8, 8)
    term, options = matching(itself), distill.Options(run=tmp_path)

    def pull(x0: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, float]:
        return term.pull(x0, Batch(None, x0, Words(torch.zeros(len(x0), 1, 1)), target), options)

    gradient, loss = pull(x0, target)
    single = [pull(x0[row : row + 1], target[row : row + 1]) for row in range(3)]
    assert loss == pytest.approx(sum(one for _, one in single) / 3, rel=1e-4)
    torch.testing.assert_close(gradient[:3], torch.cat([own for own, _ in single]) / 3)
    assert not gradient[3:].any()


def test_what_would_come_to_nothing_is_refused(tmp_path) -> None:
    there = {"offline": tmp_path, "pairs": tmp_path}
    for wrong, why in (
        ({"steps": 80}, "80 steps are not enough: the first 80"),
        ({"micro_batch": 1}, "half of each micro-batch are pairs: it must be 2 or more"),
        ({"kappa": (1.0, -1.0)}, "below 0 would lead away from the pairs"),
        ({"kappa": (1.0, 0.0), "unmatched": True}, "give no --kappa"),
        ({"discriminator": "online"}, "--discriminator goes with --adversary"),
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
