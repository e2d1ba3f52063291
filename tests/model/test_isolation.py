"""What a program has set for its own use of torch changes no picture, and no picture changes it."""

import copy
import os
import pickle
import random
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import run
from tiny import build_checkpoint, drawing, load

from sdxs import SDXS, SDXSError

MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
}
DTYPES = [torch.float64, torch.float16, torch.bfloat16]


def painted(model: SDXS) -> list[np.ndarray]:
    led = {"style": "anime", "style_scale": 0.7, "control": "sketch", "control_image": drawing()}
    return [np.asarray(model("a red house", seed=3)), np.asarray(model("a tree", **led))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["sd15", "sdxl"])
def test_modes_of_the_caller_change_nothing(mode: str, kind: str, tmp_path: Path) -> None:
    folder = build_checkpoint(tmp_path / kind, kind=kind)
    wanted = np.asarray(load(folder)("a red house"))
    with MODES[mode]():
        model = load(folder)
        inside = np.asarray(model("a red house"))
        image = model(["a tree"], output_type="pt")
    assert not image.is_inference() and not image.requires_grad
    assert np.array_equal(inside, wanted)
    assert np.array_equal(model("a red house"), wanted)  # by the words that were remembered


@pytest.mark.parametrize("mode", MODES)
def test_modes_change_no_style_and_no_control(mode: str, led_model: SDXS) -> None:
    wanted = painted(led_model)
    lines = led_model.condition("sketch", drawing())
    with MODES[mode]():
        for ours, theirs in zip(painted(led_model), wanted, strict=True):
            assert np.array_equal(ours, theirs)
        assert np.array_equal(led_model.condition("sketch", drawing()), lines)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_default_dtype_changes_nothing(
    dtype: torch.dtype, led_model: SDXS, tiny_checkpoint: Path
) -> None:
    wanted = painted(led_model)
    torch.set_default_dtype(dtype)
    try:
        for ours, theirs in zip(painted(led_model), wanted, strict=True):
            assert np.array_equal(ours, theirs)
        assert np.array_equal(load(tiny_checkpoint)("a red house", seed=3), wanted[0])
    finally:
        torch.set_default_dtype(torch.float32)


def test_chance_of_the_caller_is_left_alone(tiny_checkpoint: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    load(tiny_checkpoint)("a red house", seed=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


def test_a_model_is_its_own_copy(tiny_model: SDXS) -> None:
    assert copy.deepcopy({"model": tiny_model})["model"] is tiny_model


def test_a_model_is_not_pickled(tiny_model: SDXS) -> None:
    with pytest.raises(SDXSError, match=r"cannot be pickled: send what SDXS\.load was given"):
        pickle.dumps(tiny_model)


FORKS = """
import os, sys, warnings
import torch
from sdxs import SDXS, SDXSError
torch.set_num_threads(1)
model = SDXS.load(sys.argv[1], device="cpu", dtype="float32", engine="eager")
for threads in 1, 2:
    torch.set_num_threads(threads)
    wanted = model("a red house").tobytes()
    if not (child := os.fork()):
        try:
            os._exit(0 if model("a red house").tobytes() == wanted else 1)
        except SDXSError as error:
            print(error, flush=True)
            os._exit(2)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_does_not_wait_for_ever(tiny_checkpoint: Path) -> None:
    done = run(sys.executable, "-c", FORKS, tiny_checkpoint)
    alone, *several = done.stdout.splitlines()
    assert alone == "0", done.stderr
    assert "loaded before the process forked" in several[0] and several[-1] == "2"
