"""The one step against diffusers' own, and copies that do not meet."""

import pytest
import torch
from tiny import tiny_scheduler
from torch.testing import assert_close

from sdxs.model import schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_the_published_scheduler() -> None:
    """DreamShaper's DEIS at t=999 is clean = 14.642591 x - 14.579279 eps (diffusers 0.42)."""
    step = schedule.OneStep(tiny_scheduler("deis"))
    assert int(step.timestep) == 999
    one, none = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    of_x = step(one, lambda x, t: none).item()
    of_eps = step(none, lambda x, t: one).item()
    assert of_x == pytest.approx(14.642591, rel=1e-6) and of_eps == pytest.approx(-14.579279, 1e-6)


def test_noise_of_a_row_is_its_own() -> None:
    noise = schedule.draw_noise(schedule.seeded([3, 4]), (4, 8, 8))
    alone = schedule.draw_noise(schedule.seeded([4]), (4, 8, 8))
    assert torch.equal(noise[1], alone[0]) and noise.device.type == "cpu"


def test_rows_of_a_scheduler_that_draws() -> None:
    step = schedule.OneStep(tiny_scheduler("ddpm", clip_sample=False, variance_type="fixed_large"))
    noise = schedule.draw_noise(schedule.seeded([1, 2]), (4, 8, 8))
    both = step(noise, lambda x, t: x, schedule.seeded([1, 2]))
    assert torch.equal(step(noise[1:], lambda x, t: x, schedule.seeded([2]))[0], both[1])
    assert not torch.equal(step(noise, lambda x, t: x, schedule.seeded([1, 3]))[1], both[1])


def test_one_step_only() -> None:
    with pytest.raises(ValueError):
        schedule.OneStep(tiny_scheduler("pndm", skip_prk_steps=False, timestep_spacing="leading"))


LINEAR = {  # whether a step is linear in noise and prediction
    "ddim": {},
    "deis": {},
    "euler": {},
    "ancestral": {},
    "dpm": {},
    "lcm": {"timestep_spacing": "leading"},
    "unipc": {"prediction_type": "v_prediction"},
}
OTHER = {
    "ddim clips": {"clip_sample": True},
    "ddim thresholds": {"thresholding": True},
    "ddpm draws": {"clip_sample": False, "variance_type": "fixed_large"},
}


@pytest.mark.parametrize("name", [*LINEAR, *OTHER])
def test_a_linear_step_is_three_numbers(name: str) -> None:
    scheduler = tiny_scheduler(name.split()[0], **(LINEAR | OTHER)[name])
    step = schedule.OneStep(scheduler)
    linear = step.linear()
    assert (linear is None) == (name in OTHER)
    if linear is None:
        return
    noise, prediction = torch.randn(2, 4, 8, 8), 3 * torch.randn(2, 4, 8, 8)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        assert_close(x, linear.input_scale * noise)
        return prediction

    wanted = step(noise, predict, schedule.seeded([1, 2]))
    assert_close(
        linear.noise * noise + linear.prediction * prediction, wanted, rtol=1e-4, atol=1e-4
    )
