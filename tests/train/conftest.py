"""What several tests of the stages begin with."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import load_file

from sdxs.storybook.world.tokenizer import build_tokenizer
from sdxs.tokens import PromptReader, PromptReaders
from sdxs.train import text
from sdxs.train.autoencoder import build
from sdxs.train.parts.models import PRESETS, build_scheduler, build_text_encoder, build_unet
from sdxs.train.parts.schedule import Schedule
from sdxs.train.parts.solver import Model
from sdxs.train.parts.text_encoders import TextEncoders
from sdxs.train.run import loop, stage
from tests.train.resumed import Resumes, train


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """No test waits for the disk: what a power cut would leave is not tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tables of the library `datasets` go to a folder of the tests, in other processes, too."""
    import datasets  # which takes a second

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("datasets")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        patch.setenv("HF_DATASETS_CACHE", str(folder))
        yield


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy autoencoder and text encoder."""
    folder = tmp_path_factory.mktemp("given")
    torch.manual_seed(0)
    build(12).save_pretrained(folder / "v/vae")
    text.train(text.Options(run=folder / "x", preset="toy", steps=1, batch=2))
    return folder


@pytest.fixture
def unet() -> UNet2DConditionModel:
    """A toy U-Net; what is drawn at random afterwards is the same each time, too."""
    torch.manual_seed(0)
    return build_unet(PRESETS["toy"], 64).eval()


@pytest.fixture
def vae() -> AutoencoderTiny:
    """The smallest autoencoder, likewise."""
    torch.manual_seed(0)
    return build(12).eval()


@pytest.fixture
def model() -> Model:
    """A toy multi-step model."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    text_encoder = build_text_encoder(PRESETS["toy"], tokenizer).eval()
    second = {"algorithm_type": "dpmsolver++", "solver_order": 2}
    config = build_scheduler().config
    solver = DPMSolverMultistepScheduler.from_config(config, **second)
    read = PromptReaders([PromptReader.of(tokenizer, tokenizer.model_max_length)])
    text = TextEncoders({"text_encoder": text_encoder}, read)
    return Model(build_unet(PRESETS["toy"], 64).eval(), Schedule.of(config), text, solver)


@pytest.fixture
def teacher(unet: UNet2DConditionModel, tmp_path: Path) -> Path:
    """A toy multi-step model as a stage leaves it."""
    folder, tokenizer = tmp_path / "teacher", build_tokenizer()
    unet.save_pretrained(folder / "unet")
    build_text_encoder(PRESETS["toy"], tokenizer).save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    build_scheduler().save_pretrained(folder / "scheduler")
    (folder / stage.RESULT).write_text('{"stage": "teacher"}')
    return folder


@pytest.fixture
def resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resumes:
    """Run a stage to its end, and another time with a break: both leave the same weights."""

    def both(name: str, command: ModuleType, at: int = 2, **options: Any) -> Path:
        whole, broken = tmp_path / name, tmp_path / f"{name}-broken"
        train(command, whole, **options)
        chance = loop.chance

        def breaks(seed: int, step: int) -> torch.Generator:
            if step == at:
                raise KeyboardInterrupt
            return chance(seed, step)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "chance", breaks)
            with pytest.raises(KeyboardInterrupt):
                train(command, broken, **options)
        assert not (broken / "result.json").exists()
        train(command, broken, **options)
        files = [path.relative_to(whole) for path in whole.rglob("*.safetensors")]
        assert files
        for file in files:
            first, second = load_file(whole / file), load_file(broken / file)
            assert all(torch.equal(first[name], second[name]) for name in first | second), file
        if (whole / "metrics.jsonl").exists():
            told = [(run / "metrics.jsonl").read_text().splitlines()[-1] for run in (whole, broken)]
            assert told[0] == told[1]
        return whole

    return both
