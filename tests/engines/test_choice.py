"""Which engine runs a model, and what is said where one cannot be had."""

import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from programs import run

from sdxs import SDXS, InputError
from sdxs.engines import choose_engine
from sdxs.engines.openvino import OpenVINO

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDXS_ENGINE")


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OpenVINO of before the oldest."""
    module: Any = ModuleType("openvino")
    module.__version__ = "2024.6.0-17404-4c0f47d2335"
    monkeypatch.setitem(sys.modules, "openvino", module)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An OpenVINO with a library that does not load."""
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    (tmp_path / "openvino.py").write_text("raise OSError('libtbb.so.12: cannot open')\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_names() -> None:
    assert choose_engine("eager", CPU, F32) == "eager"
    names = ", ".join(
        f"'{name}'"
        for name in ("auto", "eager", "openvino", "openvino-int8", "onnxruntime", "cuda-graph")
    )
    with pytest.raises(InputError, match=f"^engine must be {names}, 'compile', not 'warp'$"):
        choose_engine("warp", CPU, F32)
    with pytest.raises(InputError, match=r"SDXS_ENGINE=lite be set .*, not 'lite'$"):
        choose_engine("lite", CPU, F32)


def test_auto_is_what_the_environment_says(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SDXS.load(tiny_checkpoint, device="cpu").engine == "eager"  # as in these tests
    monkeypatch.setenv("SDXS_ENGINE", "warp")
    with pytest.raises(InputError, match="SDXS_ENGINE must be"):
        choose_engine("auto", CPU, F32)
    assert choose_engine("eager", CPU, F32) == "eager"


@pytest.mark.usefixtures("unset")
def test_only_cpus_and_what_they_multiply(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("openvino")
    assert choose_engine("auto", CPU, F32) == choose_engine("auto", CPU, BF16) == "auto"
    assert choose_engine("auto", CPU, F16) == "eager"
    assert not caplog.records  # nobody expects it there
    for device, dtype, why in ((CUDA, F16, "it is for CPUs"), (CPU, F16, "it has no float16")):
        with pytest.raises(InputError, match=f"^engine 'openvino' cannot be had: {why}"):
            choose_engine("openvino", device, dtype)


@pytest.mark.usefixtures("unset")
def test_cuda_graphs_are_for_cuda(caplog: pytest.LogCaptureFixture) -> None:
    for dtype in (F32, F16, BF16):
        assert choose_engine("auto", CUDA, dtype) == "auto"
        assert choose_engine("cuda-graph", CUDA, dtype) == "cuda-graph"
    assert choose_engine("auto", MPS, F16) == "eager"
    assert not caplog.records
    for device in (CPU, MPS):
        why = f"^engine 'cuda-graph' cannot be had: it is for CUDA, not for {device}$"
        with pytest.raises(InputError, match=why):
            choose_engine("cuda-graph", device, F32)


def test_what_compiling_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be had: it is for CUDA and CPUs, not for mps"):
        choose_engine("compile", MPS, F32)

    def none(*_: Any) -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", none)
    with pytest.raises(InputError, match=r"it needs a C\+\+ compiler .*: install g\+\+ or clang"):
        choose_engine("compile", CPU, F32)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="it needs Triton: pip install triton"):
        choose_engine("compile", CUDA, F16)


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("missing", "it is not installed: pip install"),
        ("broken", "it cannot be imported .libtbb.so.12: cannot open.: pip install"),
        ("old", "version 2024.6.0-17404-4c0f47d2335 is too old: pip install"),
    ],
)
def test_without_openvino(
    fault: str, why: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    request.getfixturevalue(fault)
    with caplog.at_level(logging.WARNING, "sdxs"):
        assert choose_engine("auto", CPU, F32) == "eager"
    (said,) = caplog.messages
    assert said.startswith("painting without openvino, slower: ")
    with pytest.raises(InputError, match=why):
        choose_engine("openvino", CPU, F32)


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("found", [[], RuntimeError("Cannot load library\nplugins.xml")], ids=repr)
def test_parts_of_openvino_are_missing(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")

    class Core:
        @property
        def available_devices(self) -> list[str]:
            if isinstance(found, Exception):
                raise found
            return found

    monkeypatch.setattr(openvino, "Core", Core)
    assert choose_engine("auto", CPU, F32) == "eager"
    with pytest.raises(InputError, match=r"it (cannot begin|finds no CPU).*: pip install"):
        choose_engine("openvino", CPU, F32)


def test_openvino_does_not_tell_on_anyone() -> None:
    """In a program of its own: here it may have been imported by others."""
    pytest.importorskip("openvino")
    code = """
from sdxs.engines.openvino import library
library()
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__.endswith("telemetry_stub"), telemetry_utils.tm
"""
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_bfloat16_is_read_as_it_is_stored() -> None:
    pytest.importorskip("openvino")
    assert OpenVINO(CPU, BF16).weights_dtype == F16 and OpenVINO(CPU, F32).weights_dtype == F32
