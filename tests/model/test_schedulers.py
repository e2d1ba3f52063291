"""Every scheduler that people save with one-step models: diffusers' picture, or a refusal."""

import dataclasses
import inspect
import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from theirs import decoded, one_step, pipeline_of
from tiny import build_checkpoint, load

from sdxs import SDXS, CheckpointError
from sdxs.checkpoint.layout import SCHEDULER_CONFIG
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.checkpoint.scheduler import SCHEDULERS, one_step_of
from sdxs.checkpoint.tensors import read_config
from sdxs.model.schedule import OneStep

CPU = torch.device("cpu")
PROMPTS, SEEDS = ["a red house", "a big blue tree at night"], [7, 1]
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CLASSES: dict[str, list[dict[str, Any]]] = {  # class -> further settings to try
    "DDPMScheduler": [
        {"clip_sample": clip, "variance_type": variance}
        for clip in (False, True)
        for variance in ("fixed_small", "fixed_large")
    ],
    "DDIMScheduler": [
        {"clip_sample": clip, "set_alpha_to_one": one, "steps_offset": int(not one)}
        for clip in (False, True)
        for one in (False, True)
    ],
    "DEISMultistepScheduler": [{}, {"steps_offset": 1}],
    "EulerDiscreteScheduler": [{}, {"steps_offset": 1}, {"use_karras_sigmas": True}],
    "EulerAncestralDiscreteScheduler": [{}],
    "DPMSolverMultistepScheduler": [
        {"algorithm_type": kind, "final_sigmas_type": final}
        for kind in ("dpmsolver++", "sde-dpmsolver++", "dpmsolver")
        for final in ("zero", "sigma_min")
    ],
    "DPMSolverSinglestepScheduler": [{}, {"final_sigmas_type": "sigma_min"}],
    "LCMScheduler": [{"clip_sample": False}, {"clip_sample": True}],
    "UniPCMultistepScheduler": [{}, {"solver_type": "bh1"}, {"final_sigmas_type": "sigma_min"}],
    "PNDMScheduler": [{"skip_prk_steps": True}, {"skip_prk_steps": False}],
}
SPACINGS = ("linspace", "leading", "trailing")
PREDICTIONS = ("epsilon", "v_prediction", "sample")


def stored_in(folder: Path) -> OneStep:
    """The single step of a scheduler's folder, for latents of four channels."""
    return one_step_of(*read_config(folder, SCHEDULERS, SCHEDULER_CONFIG), 4)


def spacings(name: str) -> list[dict[str, str]]:
    known = inspect.signature(getattr(diffusers, name)).parameters
    named = [{"timestep_spacing": spacing} for spacing in SPACINGS]
    return named if "timestep_spacing" in known else [{}]


CASES = [
    (name, {**settings, **spacing, "prediction_type": prediction})
    for name, choices in CLASSES.items()
    for settings, spacing, prediction in itertools.product(choices, spacings(name), PREDICTIONS)
]


@pytest.fixture(scope="module")
def pipeline(tiny_checkpoint: Path) -> Any:
    return pipeline_of(tiny_checkpoint, safety_checker=None)


@pytest.fixture(scope="module")
def opened(tiny_checkpoint: Path) -> Opened:
    return open_checkpoint(tiny_checkpoint, safety=False, device=CPU, dtype=torch.float32)


def theirs(pipeline: Any, folder: Path, name: str) -> torch.Tensor | None:
    """diffusers' latents of one step; None where it cannot, or not in one."""
    try:
        pipeline.scheduler = getattr(diffusers, name).from_pretrained(folder)
        latents = one_step(pipeline, PROMPTS, SEEDS, output_type="latent")
    except Exception:  # of any kind: it cannot
        return None
    one = len(pipeline.scheduler.timesteps) == 1
    return latents if one and latents.isfinite().all() else None


def case_name(case: Any) -> str:
    name, settings = case
    return "-".join([name.removesuffix("Scheduler"), *map(str, settings.values())])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_as_diffusers_or_not_at_all(
    case: Any, pipeline: Any, opened: Opened, tmp_path: Path
) -> None:
    name, settings = case
    config = {"_class_name": name, **SD, **settings}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    wanted = theirs(pipeline, tmp_path, name)
    if wanted is None:
        with pytest.raises(CheckpointError, match=f"scheduler_config.json.*{name}") as caught:
            stored_in(tmp_path)
        assert "\n" not in str(caught.value)
        return
    networks, readers, _ = opened.parts()
    parts = networks, readers, stored_in(tmp_path)
    opened = dataclasses.replace(opened, parts=lambda: parts)
    model = SDXS(opened, "eager", CPU, torch.float32)
    pictures = model(PROMPTS, seed=SEEDS, output_type="pt")
    assert (pictures - decoded(pipeline, wanted)).abs().max() < 1e-4


def test_the_common_ones_can(tmp_path: Path) -> None:
    """So that the test above cannot pass by refusing everything."""
    for name in set(CLASSES) - {"PNDMScheduler", "DPMSolverSinglestepScheduler"}:
        getattr(diffusers, name)(**SD, timestep_spacing="trailing").save_pretrained(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert stored_in(tmp_path).timestep.item() >= 900


@pytest.mark.parametrize(
    ("name", "settings", "begins"),
    [
        ("DDIMScheduler", {"timestep_spacing": "leading", "steps_offset": 1}, "t = 1 of 1000"),
        ("DDIMScheduler", {}, "t = 0 of 1000"),  # leading is its default
        ("EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1}, "t = 1 of"),
        ("DDIMScheduler", {"timestep_spacing": "trailing"}, ""),
        ("DEISMultistepScheduler", {"timestep_spacing": "linspace"}, ""),
        ("LCMScheduler", {}, ""),  # which begins at the end whatever it says
        ("EulerDiscreteScheduler", {"timestep_type": "continuous", "timestep_spacing": "trailing",
                                    "prediction_type": "v_prediction"}, ""),
    ],
)  # fmt: skip
def test_one_that_is_made_for_many_steps(
    name: str, settings: Any, begins: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its picture is diffusers', see above, and what to change is said once."""
    folder = build_checkpoint(tmp_path / "checkpoint", getattr(diffusers, name)(**SD, **settings))
    load(folder, safety=False)
    said = [message for message in caplog.messages if "its one step begins at" in message]
    assert len(said) == bool(begins)
    for message in said:
        assert begins in message and "timestep_spacing 'leading'" in message
        assert "set timestep_spacing to 'trailing' in scheduler/scheduler_config.json" in message
