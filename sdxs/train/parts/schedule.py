"""The noise that a model was trained on, and what it predicts: x0, noise and prediction.

As a checkpoint's scheduler states them, so that models of different kinds meet in one stage. Knows
nothing of networks. Notation of Salimans and Ho, "Progressive Distillation", arXiv 2202.00512,
section 2 and appendix D, with a = sqrt(alphas_cumprod[t]) and s = sqrt(1 - alphas_cumprod[t]).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from sdxs.errors import one_line
from sdxs.train.run.loop import TrainingError

Of = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Prediction(NamedTuple):
    """target: of x0, noise, a, s what the network should say. x0, noise: of x_t, what it says, a, s
    what these are."""

    target: Of
    x0: Of
    noise: Of


PREDICTIONS = {  # by the scheduler's `prediction_type`
    "epsilon": Prediction(
        target=lambda x0, noise, a, s: noise,
        x0=lambda x, out, a, s: (x - s * out) / a,
        noise=lambda x, out, a, s: out,
    ),
    "v_prediction": Prediction(
        target=lambda x0, noise, a, s: a * noise - s * x0,
        x0=lambda x, out, a, s: a * x - s * out,
        noise=lambda x, out, a, s: s * x + a * out,
    ),
    "sample": Prediction(
        target=lambda x0, noise, a, s: x0,
        x0=lambda x, out, a, s: out,
        noise=lambda x, out, a, s: (x - a * out) / s,
    ),
}


@dataclass(frozen=True)
class Schedule:
    """alphas: cumulative products, (T,). prediction: one of PREDICTIONS. config: the scheduler's.

    Of all methods: x0, noise, x_t, predictions (B, ...); timesteps () or (B,) integer.
    """

    alphas: Tensor
    prediction: str
    config: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Schedule":
        """As a scheduler's config states it. Raises TrainingError."""
        prediction = config.get("prediction_type", "epsilon")  # as every scheduler's default is
        if prediction not in PREDICTIONS:
            raise TrainingError(
                f"the scheduler's prediction_type is {one_line(prediction, 40)}: "
                f"{', '.join(PREDICTIONS)} are known"
            )
        alphas = DDPMScheduler.from_config(dict(config)).alphas_cumprod
        if prediction == "epsilon" and not alphas[-1] > 0:
            raise TrainingError(
                "the scheduler leaves no signal at the last timestep (rescale_betas_zero_snr), "
                "where a model that predicts noise says nothing of the picture"
            )
        return cls(alphas, prediction, dict(config))

    def __len__(self) -> int:
        """T."""
        return len(self.alphas)

    @property
    def last(self) -> int:
        """The timestep at which one step begins."""
        return len(self.alphas) - 1

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """a and s of each row, (B, 1, ..., 1) beside `like`."""
        alpha = self.alphas.to(like.device)[t.to(like.device)].to(like.dtype)
        alpha = alpha.reshape(-1, *[1] * (like.ndim - 1))
        return alpha.sqrt(), (1 - alpha).sqrt()

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = a x0 + s noise."""
        a, s = self.coefficients(t, x0)
        return a * x0 + s * noise

    def target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What a network should say of x_t."""
        return PREDICTIONS[self.prediction].target(x0, noise, *self.coefficients(t, x0))

    def x0(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The clean latents that a prediction names."""
        return PREDICTIONS[self.prediction].x0(x_t, prediction, *self.coefficients(t, x_t))

    def noise(self, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
        """The noise that a prediction names."""
        return PREDICTIONS[self.prediction].noise(x_t, prediction, *self.coefficients(t, x_t))

    def one_step(self) -> DDIMScheduler:
        """The scheduler of a one-step model with this noise: its one step begins at the last
        timestep and lands on x0 itself."""
        return DDIMScheduler.from_config(
            {name: self.config[name] for name in BETAS if name in self.config},
            prediction_type=self.prediction,
            timestep_spacing="trailing",
            steps_offset=1,  # unused by trailing spacing; StableDiffusionPipeline insists on it
            clip_sample=False,
            set_alpha_to_one=True,
        )


BETAS = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
    "rescale_betas_zero_snr",
)  # fmt: skip
