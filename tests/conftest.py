"""What tests share: no connection to the outside, and a tiny checkpoint, control and style."""

import os
import shutil
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from edits import config
from huggingface_hub import constants
from tiny import build_checkpoint, build_control, load

torch.set_num_threads(1)
with suppress(ImportError):  # tensorboard's; it closes what it logs to when uvicorn begins to log
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # whoever imports it
for quick in ("httptools", "uvloop"):  # uvicorn takes what is there: here what there always is
    sys.modules.setdefault(quick, None)  # type: ignore[arg-type]
os.environ["SDXS_ENGINE"] = "eager"  # the reference; others are asked for by name


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Any connection but to this machine fails, and no test sees the user's settings or models."""
    home = tmp_path_factory.getbasetemp() / "hub-home"
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to reach {address}")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    for name in ("SDXS_CHECKPOINT", "SDXS_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SDXS_CACHE", str(home / "sdxs"))


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`ran(main, *arguments)`: exit status, what was printed, what was complained of."""

    def run(main: Callable[[list[str]], int | None], *arguments: object) -> tuple[int, str, str]:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status or 0, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny seeded checkpoint: 64 px, v-prediction, both decoders."""
    return build_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny", large=True)


@pytest.fixture(scope="session")
def tiny_control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ControlNet for the tiny checkpoint."""
    return build_control(tmp_path_factory.mktemp("control") / "sketch")


@pytest.fixture(scope="session")
def tiny_style(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a style for the tiny checkpoint, as the training leaves one."""
    from diffusers import UNet2DConditionModel

    from sdxs.train.parts.lora import lora, save_style

    unet = UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet")
    torch.manual_seed(0)
    for weight in lora(unet, 2):
        torch.nn.init.normal_(weight, std=0.3)
    folder = tmp_path_factory.mktemp("style") / "ink"
    save_style(unet, folder)
    return folder


@pytest.fixture(scope="session")
def unet_lora(tiny_checkpoint: Path) -> Any:
    """A U-Net for the tiny checkpoint, with a LoRA of PEFT's."""
    from loras import lora_of_unet

    return lora_of_unet(tiny_checkpoint)


@pytest.fixture(scope="session")
def peft_folder(unet_lora: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That LoRA as PEFT saves one."""
    folder = tmp_path_factory.mktemp("peft") / "anime"
    unet_lora.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path) -> Any:
    return load(tiny_checkpoint)


@pytest.fixture(scope="session")
def led_model(tiny_checkpoint: Path, peft_folder: Path, tiny_control: Path) -> Any:
    """The same with a style "anime" and a control "sketch"."""
    led = {"styles": {"anime": peft_folder}, "controls": {"sketch": tiny_control}}
    return load(tiny_checkpoint, **led)


@pytest.fixture
def edited(tiny_checkpoint: Path, tmp_path: Path) -> Callable[..., Path]:
    """`edited("unet/config.json", sample_size=3)`: a copy of the checkpoint with other settings."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "edited")

    def edit(file: str | None = None, **settings: Any) -> Path:
        if file:
            with config(folder / file) as kept:
                kept |= settings
        return folder

    return edit
