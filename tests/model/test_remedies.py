"""The order of remedies, with failures that are real on a CPU, or played where a GPU is needed."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import build_safety_checker, load

from sdxs import InputError, SDXSError
from sdxs.errors import NotFiniteError, commanded
from sdxs.model import hardware, remedies
from sdxs.model.remedies import BF16, CPU, F16, F32, Setup, first_that_works, setups

CUDA = torch.device("cuda")
WEIGHTS = "diffusion_pytorch_model.safetensors"
LARGE = 6e4  # float16 goes up to 65504


@pytest.fixture
def filled(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """`filled("unet", "conv_in.weight", 9)`: the checkpoint with that number as those weights."""

    def fill(part: str, key: str, number: float) -> Path:
        folder = shutil.copytree(tiny_checkpoint, tmp_path / "filled")
        tensors = load_file(folder / part / WEIGHTS)
        tensors[key].fill_(number)
        save_file(tensors, folder / part / WEIGHTS, {"format": "pt"})
        return folder

    return fill


def large_decoder(filled: Any) -> Path:
    return filled("vae", "decoder.layers.0.bias", LARGE)


def large_unet(filled: Any) -> Path:
    return filled("unet", "conv_in.weight", LARGE)


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best dtype of a CPU is float16, as on a GPU."""
    monkeypatch.setattr(hardware, "cpu_multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(hardware, "torch", _Half())


class _Half:
    """torch as `choose_dtype` sees it, with float16 in bfloat16's place."""

    bfloat16 = F16

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def far(ours: Any, theirs: Any) -> float:
    return float(np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int)).mean())


@pytest.mark.usefixtures("half")
@pytest.mark.parametrize("dtype", ["float16", "auto"])
def test_a_decoder_that_overflows(
    dtype: str, filled: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = large_decoder(filled)
    with caplog.at_level(logging.WARNING):
        model = load(folder, dtype=dtype, safety=False)
    said = "painting on cpu in float16, decoders in float32, because of cpu in float16: numbers"
    assert caplog.messages[-1].startswith(said) and sum("paint" in m for m in caplog.messages) == 1
    assert model.dtype == F16
    assert far(model("a red house"), load(folder)("a red house")) < 3


@pytest.mark.usefixtures("half")
def test_a_unet_that_overflows(filled: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder = large_unet(filled)
    with caplog.at_level(logging.WARNING):
        model = load(folder, dtype="auto")
    assert "painting on cpu in float32, because of cpu in float16" in caplog.messages[-1]
    assert model.dtype == F32
    assert model("a house").tobytes() == load(folder)("a house").tobytes()
    with pytest.raises(NotFiniteError, match=r'not finite in float16: .* try dtype="float32"$'):
        load(folder, dtype="float16")
    with commanded(), pytest.raises(NotFiniteError, match=r"try --dtype float32$"):
        load(folder, dtype="float16")


def test_weights_that_are_not_finite(filled: Any) -> None:
    model = load(filled("unet", "conv_in.weight", float("nan")))
    with pytest.raises(
        NotFiniteError, match="in float32: it is the weights that hold numbers that"
    ):
        model("a house")


def test_a_safety_checker_that_overflows(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """It would flag nothing: NaN is above no threshold."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "checked")
    build_safety_checker(folder, 0)
    model = load(folder)
    model("a house")
    bias = model._checker._network.vision_model.post_layernorm.bias
    bias.data.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match=r"^the safety checker gives numbers that are not f"):
        model("a house")


def test_what_a_cpu_does_is_not_tried(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdxs.pipeline.try_networks", lambda *_: pytest.fail("tried"))
    load(tiny_checkpoint)
    load(tiny_checkpoint, dtype="bfloat16")


def test_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "choose_device", lambda _: CUDA)
    monkeypatch.setattr(hardware, "cpu_multiplies_bfloat16", lambda: True)
    halves = [Setup(CUDA, F16, F16), Setup(CUDA, F16, F32)]
    cpu = [Setup(CPU, BF16, BF16), Setup(CPU, F32, F32)]
    assert setups("auto", "auto") == [*halves, Setup(CUDA, F32, F32), *cpu]
    assert setups("cuda", "auto") == [*halves, Setup(CUDA, F32, F32)]
    assert setups("cuda", "float16") == halves
    assert setups("cuda", "float32") == [Setup(CUDA, F32, F32)]
    assert setups("auto", "float32") == [Setup(CUDA, F32, F32), Setup(CPU, F32, F32)]


ALL = [
    Setup(CUDA, F16, F16), Setup(CUDA, F16, F32), Setup(CUDA, F32, F32), Setup(CPU, F32, F32)
]  # fmt: skip
MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n20 GiB")
KERNEL = RuntimeError("CUDA error: no kernel image is available for execution\nSearch for it")
HALF = RuntimeError("\"conv\" not implemented for 'Half'")
OPERATOR = NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS")
CPU_MEMORY = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
NAN = NotFiniteError("numbers")


def playing(*failures: Exception) -> tuple[list[Setup], Callable[[Setup], str]]:
    """What is tried, and what fails so many times."""
    tried: list[Setup] = []

    def make(setup: Setup) -> str:
        tried.append(setup)
        if len(tried) <= len(failures):
            raise failures[len(tried) - 1]
        return "made"

    return tried, make


@pytest.mark.parametrize(
    ("failures", "tried", "said"),
    [
        ([], [0], ""),
        ([NAN], [0, 1], "cuda in float16, decoders in float32, because of cuda in float16: num"),
        ([NAN, NAN], [0, 1, 2], "cuda in float32, because of cuda in float16: numbers that are"),
        ([MEMORY], [0, 3], "cpu in float32, because of cuda in float16: too little memory"),
        ([KERNEL], [0, 3], "cpu in float32, because of cuda in float16: CUDA error: no kernel"),
        ([HALF, HALF], [0, 1, 2], "cuda in float32, because of cuda in float16: \"conv\" not"),
        ([OPERATOR] * 3, [0, 1, 2, 3], "cpu in float32, because of cuda in float16: The operator"),
        ([NAN, MEMORY], [0, 1, 3], "decoders in float32: too little memory"),
    ],
)  # fmt: skip
def test_what_is_tried_next(
    failures: list[Exception], tried: list[int], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    done, make = playing(*failures)
    assert first_that_works(ALL, make) == "made"
    assert done == [ALL[index] for index in tried]
    assert len(caplog.messages) == bool(said) and all(said in each for each in caplog.messages)
    assert not any("\n" in each for each in caplog.messages)


@pytest.mark.parametrize(
    ("left", "failure", "said"),
    [
        (ALL[2:3], MEMORY, r'cuda in float32 fails \(too little memory\): use device="cpu"'),
        (ALL[2:3], KERNEL, r'cuda in float32 fails \(CUDA error: no .*execution\): use device="c'),
        (ALL[3:], CPU_MEMORY, "cpu in float32 fails .*: end other programs, .* dtype=.bfloat16"),
        ([Setup(CPU, F16, F16)], HALF, r'cpu in float16 fails .*Half.\): use dtype="float32"'),
        (ALL[3:], MemoryError(), "too little memory"),
        (ALL, NAN, "numbers"),  # in every dtype of the device: another one does not help
    ],
)
def test_nothing_is_left(left: list[Setup], failure: Exception, said: str) -> None:
    with pytest.raises(SDXSError, match=said) as caught:
        first_that_works(left, playing(*[failure] * 9)[1])
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_stays_what_it_is() -> None:
    ours = RuntimeError("a mistake in this package")
    with pytest.raises(RuntimeError) as caught:
        first_that_works(ALL[3:], playing(ours)[1])
    assert caught.value is ours


def test_an_engine_that_the_next_device_has_not() -> None:
    """What is told is why the first one failed."""
    with pytest.raises(SDXSError, match=r"cuda in float16 fails \(too little memory\): use device"):
        first_that_works(ALL, playing(MEMORY, InputError("engine 'cuda-graph' cannot be had"))[1])
    with pytest.raises(InputError, match="cuda-graph"):
        first_that_works(ALL, playing(InputError("engine 'cuda-graph' cannot be had"))[1])
