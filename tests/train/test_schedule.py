"""x0, noise and prediction of each kind: against diffusers, there and back, and what is refused."""

from typing import Any

import pytest
import torch
from tiny import tiny_scheduler
from torch.testing import assert_close

from sdxs.model.schedule import OneStep
from sdxs.train.parts.schedule import PREDICTIONS, Schedule
from sdxs.train.run.loop import TrainingError

T = torch.tensor([0, 500, 999])


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 8, 8, generator=generator).unbind()


def of(prediction: str, kind: str = "ddpm", **settings: Any) -> Schedule:
    return Schedule.of({**tiny_scheduler(kind, **settings).config, "prediction_type": prediction})


def test_equals_diffusers(rows: tuple[torch.Tensor, torch.Tensor]) -> None:
    x0, noise = rows
    theirs, ours = tiny_scheduler("ddpm"), of("v_prediction")
    assert_close(ours.add_noise(x0, noise, T), theirs.add_noise(x0, noise, T))
    assert_close(ours.target(x0, noise, T), theirs.get_velocity(x0, noise, T))
    one_t = ours.add_noise(x0, noise, torch.tensor(500))
    assert_close(one_t[1], ours.add_noise(x0, noise, T)[1])
    assert ours.add_noise(x0.half(), noise.half(), T).dtype == torch.float16


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_there_and_back(rows: tuple[torch.Tensor, torch.Tensor], prediction: str) -> None:
    x0, noise = (row.double() for row in rows)
    schedule = of(prediction)
    x_t, said = schedule.add_noise(x0, noise, T), schedule.target(x0, noise, T)
    assert_close(schedule.x0(x_t, said, T), x0)
    assert_close(schedule.noise(x_t, said, T), noise)


@pytest.mark.parametrize("kind", ["pndm", "euler", "deis", "lcm"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_step_of_the_exported_scheduler_lands_on_x0(
    rows: tuple[torch.Tensor, torch.Tensor], kind: str, prediction: str
) -> None:
    """Whatever scheduler the model came with, spaced for many steps."""
    schedule = of(prediction, kind, timestep_spacing="leading")
    step = OneStep(schedule.one_step())
    assert int(step.timestep) == schedule.last == 999 and not step.doubt
    found = step(rows[1], lambda x, t: x * 0.5)
    wanted = schedule.x0(rows[1], rows[1] * 0.5, torch.tensor(999))
    assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_what_is_refused() -> None:
    with pytest.raises(TrainingError, match="prediction_type is flow: epsilon"):
        Schedule.of({**tiny_scheduler("ddpm").config, "prediction_type": "flow"})
    with pytest.raises(TrainingError, match="no signal at the last timestep"):
        of("epsilon", rescale_betas_zero_snr=True)
    assert of("v_prediction", rescale_betas_zero_snr=True).alphas[-1] == 0
