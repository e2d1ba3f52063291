"""Who else is measured: diffusers compiled where asked for, other programs where installed."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from sdxs.bench import peers
from sdxs.bench.__main__ import TITLES, main
from sdxs.bench.sides import THEIRS, diffusers
from sdxs.engines.recorder import Compiled
from sdxs.engines.runtime import Unavailable

CPU = torch.device("cpu")
HERE = ("--device", "cpu", "--dtype", "float32", "--engine", "eager")
BRIEF = ("--rounds", "1", "--warmup", "1")

pytestmark = pytest.mark.filterwarnings("ignore::sdxs.PromptCutWarning")


class Stranger:
    """Instead of stable_diffusion_cpp.StableDiffusion: one color."""

    def __init__(self, model_path: str, **options: Any) -> None:
        assert Path(model_path).is_dir()

    def generate_image(self, prompt: str, *, width: int, height: int, **asked: Any) -> list[Any]:
        assert asked.pop("seed") >= 0 and asked == {"sample_steps": 1, "cfg_scale": 1.0}
        return [Image.new("RGBA", (width, height), "teal")]


class Ignorant(Stranger):
    def generate_image(self, *_: Any, **asked: Any) -> list[Any]:
        raise ValueError("NULL pointer access")


def installed(monkeypatch: pytest.MonkeyPatch, model: type) -> None:
    module = SimpleNamespace(StableDiffusion=model, __version__="0.0")
    monkeypatch.setitem(sys.modules, "stable_diffusion_cpp", module)


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "stable_diffusion_cpp", None)
    assert peers.peers(Path("x"), (64, 64), CPU) == {}
    assert capsys.readouterr() == ("", "")


def test_what_does_not_know_a_checkpoint_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    installed(monkeypatch, Ignorant)
    assert peers.peers(tmp_path, (64, 64), CPU) == {}
    assert "stable-diffusion.cpp 0.0 does not know" in capsys.readouterr().err


def test_what_is_there_is_measured_and_named(
    tiny_checkpoint: Path, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, Stranger)
    found = peers.peers(tiny_checkpoint, (48, 32), CPU)[peers.CPP]
    assert Image.open(io.BytesIO(found.generate("a red house", 3))).size == (48, 32)
    status, told, _ = ran(main, "--checkpoint", tiny_checkpoint, *BRIEF, *HERE)
    result = json.loads(told.splitlines()[-1])
    assert status == 0 and result["peers"] == {peers.CPP: "0.0"}
    assert set(result["ms"][peers.CPP]) == {"whole"}
    assert told.splitlines()[0].endswith("stable-diffusion.cpp 0.0")
    assert f"| {TITLES[peers.CPP]} |" in told
    _, told, _ = ran(main, "--checkpoint", tiny_checkpoint, *BRIEF, *HERE, "--no-plain", "--json")
    assert json.loads(told)["peers"] == {}


def test_diffusers_compiled(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The U-Net and the decoder, in the form that is then called."""
    compiled, called = [], []

    def compile(network: torch.nn.Module, **options: Any) -> None:
        compiled.append(type(network).__name__)
        network.register_forward_hook(lambda *_: called.append(type(network).__name__))

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    diffusers(THEIRS["compiled"], tiny_checkpoint, CPU)("a red house", 0)
    assert compiled == called == ["UNet2DConditionModel", "DecoderTiny"]


def test_without_a_compiler_the_remedy_is_named(
    tiny_checkpoint: Path, ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(device: torch.device, dtype: torch.dtype) -> None:
        raise Unavailable("install g++")

    monkeypatch.setattr(Compiled, "check", check)
    status, told, said = ran(main, "--checkpoint", tiny_checkpoint, *HERE, "--compile")
    assert status == 2 and not told and "install g++" in said
