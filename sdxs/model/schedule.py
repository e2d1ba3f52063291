"""One-step diffusion: the noise of a seed, and the step.

The scheduler itself is diffusers' own; `OneStep` takes its timestep, input scale, initial sigma
and update instead of repeating them. Knows nothing of files, networks, prompts or pictures, and
imports nothing of ours.
"""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


def seeded(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per picture, so that a picture depends on its own seed alone."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def draw_noise(generators: Sequence[torch.Generator], shape: tuple[int, int, int]) -> Tensor:
    """Standard normal noise (B, *shape), float32 on the CPU, row i from generators[i]."""
    rows = [torch.randn(shape, generator=each, dtype=torch.float32) for each in generators]
    return torch.stack(rows)


class LinearStep(NamedTuple):
    """A step that is linear: the U-Net sees `input_scale` times the noise, the clean latents are
    `noise` times the noise and `prediction` times what it says."""

    input_scale: float
    noise: float
    prediction: float


class OneStep:
    """The single step of a diffusers scheduler.

    Schedulers keep a history and a position, so each use takes a copy: one `OneStep` serves any
    number of threads. Raises ValueError when the scheduler cannot do one step.
    """

    def __init__(self, scheduler: Any) -> None:
        scheduler.set_timesteps(1)
        if len(scheduler.timesteps) != 1:
            raise ValueError(f"it asks for {len(scheduler.timesteps)} evaluations in one step")
        self._fresh = scheduler
        self._draws = "generator" in inspect.signature(scheduler.step).parameters
        self.timestep: Tensor = scheduler.timesteps[0]  # (), what the U-Net is told
        self.sigma = float(scheduler.init_noise_sigma)  # scale of the initial noise

    @property
    def doubt(self) -> str:
        """Why no picture is to be expected of this step, "" where one is: it begins where hardly
        any noise is left, as the last of many steps does."""
        settings = self._fresh.config
        t, most = float(self.timestep), settings.num_train_timesteps
        if t >= most / 2 or settings.get("timestep_type") == "continuous":  # t is a logarithm there
            return ""
        return (
            f"its one step begins at t = {t:g} of {most}: with the scheduler's timestep_spacing "
            f"{settings.get('timestep_spacing')!r} it is made for many steps; for a one-step model "
            "set timestep_spacing to 'trailing' in scheduler/scheduler_config.json"
        )

    def __call__(
        self,
        noise: Tensor,
        predict: Callable[[Tensor, Tensor], Tensor],
        generators: Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """x0 (B, C, h, w) from unit noise of that shape, both float32.

        `predict(x, t)` is the U-Net, (B, C, h, w) and () to (B, C, h, w), called once. A scheduler
        that adds noise after the step draws that of row i from generators[i].
        """
        scheduler = copy.deepcopy(self._fresh)
        sample = noise * self.sigma
        output = predict(scheduler.scale_model_input(sample, self.timestep), self.timestep)
        draws = {"generator": list(generators)} if generators and self._draws else {}
        return scheduler.step(output, self.timestep, sample, return_dict=False, **draws)[0]

    def linear(self) -> LinearStep | None:
        """The step as three numbers; None where it clips, thresholds or adds noise of its own."""
        shown: list[Tensor] = []

        def step(noise: Tensor, prediction: Tensor, seed: int = 0) -> Tensor:
            def predict(x: Tensor, t: Tensor) -> Tensor:
                shown.append(x)
                return prediction

            return self(noise, predict, seeded([seed]))

        zeros, ones = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
        of_noise, of_prediction = step(ones, zeros), step(zeros, ones)
        linear = LinearStep(*(float(each.mean()) for each in (shown[0], of_noise, of_prediction)))
        noise, prediction = draw_noise(seeded([1, 2]), (4, 8, 8)).mul(20).split(1)
        wanted = linear.noise * noise + linear.prediction * prediction
        for seed in (0, 1):
            found = step(noise, prediction, seed)
            close = torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
            if not close or not torch.allclose(shown[-1], linear.input_scale * noise, rtol=1e-4):
                return None
        return linear
