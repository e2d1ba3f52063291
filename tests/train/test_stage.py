"""What a user of the commands meets: their help, their mistakes."""

import argparse
import importlib
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import logging
from safetensors import SafetensorError
from transformers import CLIPTextModel

from sdxs import CheckpointError
from sdxs.checkpoint.find import resolve
from sdxs.train import export
from sdxs.train.parts.solver import Model
from sdxs.train.run import stage, stages
from sdxs.train.run.loop import TrainingError

COMMANDS = sorted({path.stem for path in Path(stage.__file__).parents[1].glob("[a-z]*.py")})


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(name: str, ran) -> None:
    main = importlib.import_module(f"sdxs.train.{name}").main
    status, said, _ = ran(main, "--help")
    assert status == 0 and "None" not in said and "False" not in said
    assert f"python -m sdxs.train.{name}" in said


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("pairs", ["--count", "0"], "argument --count: 0 is below 1"),
        ("autoencoder", ["--resolution", "100"], "100 is not a multiple of 8 from 64 on"),
        ("figures", ["sheet", "x=nowhere", "--output", "x.png"], "nowhere is not what"),
        ("figures", ["curves", "nowhere", "--output", "x.png"], "nowhere has no metrics.jsonl"),
        ("recipe", ["storybook", "--set", "warmup"], "warmup is not of the form warmup.steps=8000"),
        ("style", ["--below", "1.5"], "1.5 is no share: above 0, at most 1"),
        ("pairs", ["--teacher", "."], "behind, nor does it hold model_index.json: run python"),
        ("blocks", ["--lr", "nan"], "argument --lr: nan is no learning rate: give one above 0"),
        ("distill", ["--online-lr", "-1"], "-1 is no learning rate"),
        ("pairs", ["--style", "a/b/c"], "there is no style 'a/b/c': known: anime, woodcut; a file"),
        ("warmup", [], "run python -m sdxs.train.blocks to its end first"),
    ],
)
def test_a_mistake_is_named(name, arguments, expected, ran, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    main = importlib.import_module(f"sdxs.train.{name}").main
    status, _, said = ran(main, *arguments)
    assert status == 2 and expected in said


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (TrainingError("loss is nan at step 3"), 2, "loss is nan at step 3"),
        (FileExistsError(17, "File exists", "README.md"), 2, "File exists: 'README.md'"),
        (
            SafetensorError("No space left on device"),
            2,
            "left on device): make room, then give the",
        ),
        (KeyboardInterrupt(), 130, "the same command goes on from what is saved"),
    ],
)
def test_an_end_is_one_line(error: BaseException, code: int, said: str, ran) -> None:
    def main() -> None:
        raise error

    status, _, told = ran(lambda _: stage.command(main))
    assert status == code
    assert said in told.strip().splitlines()[-1]


def test_a_result_is_what_the_next_stage_asks_for(tmp_path: Path) -> None:
    stage.finish(tmp_path, "pairs", 7200, count=3)
    found = stage.read(tmp_path)
    assert found["hours"] == 2 and found["count"] == 3 and found["hardware"] and found["torch"]
    assert stage.finished_by("warmup", "pairs")(str(tmp_path)) == tmp_path
    with pytest.raises(argparse.ArgumentTypeError, match="not what warmup leaves behind but pairs"):
        stage.finished_by("warmup")(str(tmp_path))
    (tmp_path / stage.RESULT).write_text("{")
    with pytest.raises(argparse.ArgumentTypeError, match="not what pairs leaves behind: run"):
        stage.finished_by("pairs")(str(tmp_path))


def test_what_others_made_stands_in_for_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path, a shipped name or a Hub id, but no folder of a stage that is not at its end."""
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(
        "sdxs.checkpoint.find.repository",
        lambda *told, **_: asked.append(told[1:3]) or tmp_path / "hub",
    )
    for name in ("control", "style", "depth"):
        for text in ("owner/name@v1", "https://huggingface.co/owner/name/tree/v1"):
            assert stage.finished_by(name)(text) == tmp_path / "hub"
            assert asked.pop() == ("owner/name", "v1")
        with pytest.raises(argparse.ArgumentTypeError, match=f"run python -m sdxs.train.{name} to"):
            stage.finished_by(name)(f"runs/{name}")
        with pytest.raises(argparse.ArgumentTypeError, match="of somebody else's: there is no"):
            stage.finished_by(name)("./nowhere")
        (folder := tmp_path / name).mkdir()
        assert stage.finished_by(name)(str(folder)) == folder
        (folder / stage.BEGUN).touch()
        with pytest.raises(argparse.ArgumentTypeError, match="to its end first"):
            stage.finished_by(name)(str(folder))
        stage.finish(folder, name, 0)
        assert stage.finished_by(name)(str(folder)) == folder
        with pytest.raises(
            argparse.ArgumentTypeError, match=f"not what steer leaves behind but {name}"
        ):
            stage.finished_by("steer")(str(folder))


def test_a_checkpoint_stands_in_for_the_stages_it_came_of(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is known to paint in one step is not taken for one of many."""
    exported = shutil.copytree(tiny_checkpoint, tmp_path / "exported")
    (exported / stage.EXPORTED).write_text("{}")
    for name in ("text", "autoencoder", "texture"):
        for folder in (tiny_checkpoint, exported):
            assert stage.finished_by(name)(str(folder)) == folder
    multi_step = stage.finished_by(*stages.MULTI_STEP)
    assert multi_step(str(tiny_checkpoint)) == tiny_checkpoint
    with pytest.raises(argparse.ArgumentTypeError, match="what blocks or teacher leaves behind"):
        multi_step(str(exported))
    assert stages.sampling(stage.read(tiny_checkpoint)["stage"]) == (1, 1.0)
    monkeypatch.setenv("SDXS_WEIGHTS", str(tmp_path))
    assert stage.finished_by("texture")("exported") == exported  # by its name
    for asked, why in (
        ("runs/teacher", "to its end first"),
        ("./teacher", "checkpoint: there is no file or"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=why):
            multi_step(asked)
    with pytest.raises(argparse.ArgumentTypeError, match=r"pairs leaves behind: run"):
        stage.finished_by("pairs")("someone/pairs")  # which no checkpoint holds


def test_a_half_precision_checkpoint_is_trained_in_float32(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    halved = shutil.copytree(tiny_checkpoint, tmp_path / "halved")
    for kind, part in ((UNet2DConditionModel, "unet"), (CLIPTextModel, "text_encoder")):
        kind.from_pretrained(halved / part).half().save_pretrained(halved / part)
    assert CLIPTextModel.from_pretrained(halved / "text_encoder").dtype == torch.float16
    model = Model.load(halved)
    assert {part.dtype for part in (model.unet, *model.text.networks.values())} == {torch.float32}


def test_a_folder_that_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    """By export, where diffusers is silent; that it works is shown by the recipe's test."""
    logging.set_verbosity_warning()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TrainingError, match="is there and no checkpoint: choose another --out"):
        export.export(export.Options(out=tmp_path))
    assert (tmp_path / "thesis.txt").exists() and logging.get_verbosity() == logging.ERROR


def test_a_stage_is_opened_once_it_is_exported(tmp_path: Path) -> None:
    (tmp_path / "state-00000001.pt").touch()
    (tmp_path / stage.RESULT).touch()
    with pytest.raises(CheckpointError, match=r"stage of training, .* sdxs\.train\.export makes"):
        resolve(str(tmp_path))
