"""What tests share: no connection to the outside, and a tiny checkpoint, control and style."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from tiny import build_checkpoint, build_control

torch.set_num_threads(1)


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
    import torch
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
    from diffusers import UNet2DConditionModel
    from loras import UNET_TARGETS, make_lora

    return make_lora(UNet2DConditionModel.from_pretrained(tiny_checkpoint / "unet"), UNET_TARGETS)


@pytest.fixture(scope="session")
def peft_folder(unet_lora: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That LoRA as PEFT saves one."""
    folder = tmp_path_factory.mktemp("peft") / "anime"
    unet_lora.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Path) -> Any:
    from sdxs import SDXS

    return SDXS.load(tiny_checkpoint, device="cpu", dtype="float32")


@pytest.fixture
def edited(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`edited("unet/config.json", sample_size=3)`: a copy of the checkpoint with other settings."""
    import shutil

    folder = tmp_path / "edited"
    shutil.copytree(tiny_checkpoint, folder)

    def edit(file: str | None = None, **settings: Any) -> Path:
        if file:
            config = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps(config | settings))
        return folder

    yield edit
