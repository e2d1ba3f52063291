"""Options and the table of stages: what stands once is the same everywhere."""

import argparse
import importlib
import json
from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from sdxs.train import recipe
from sdxs.train.parts.supervision import SupervisionOptions
from sdxs.train.run import loop, ranks, stage, stages
from sdxs.train.run.options import ScaledOptions, TrainingOptions, option, positive
from sdxs.train.run.stages import STAGES

UNTRAINED = ("emoji", "pairs", "average", "style_average", "export")
TRAINING = [name for name in STAGES if name not in UNTRAINED]


def options_of(name: str) -> Any:
    return importlib.import_module(f"sdxs.train.{name}").Options


def folders(kind: Any) -> list[str]:
    """The options that are folders."""
    return [part.name for part in fields(kind) if "metavar" in part.metadata.get("how", {})]


@pytest.mark.parametrize("name", STAGES)
def test_a_command_line_without_options_gives_the_defaults(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = options_of(name)
    monkeypatch.setattr(stage, "read", lambda _: {"stage": "export"})
    monkeypatch.setattr(stages, "STAGES", dict.fromkeys(STAGES, stages.Row("all", shipped=True)))
    asked = ["--control", "sketch"] if name == "control" else []
    read = kind.read(asked)
    assert kind.name == name and getattr(read, "run", Path("runs", name)) == Path("runs", name)
    for part in fields(kind):
        if part.default is not MISSING and (name, part.name) != ("depth", "seed"):
            assert getattr(read, part.name) == part.default
    with pytest.raises(FrozenInstanceError):
        read.run = tmp_path


@pytest.mark.parametrize("name", TRAINING)
def test_what_is_recorded_is_what_was_asked(name: str, tmp_path: Path) -> None:
    """Every number and word; not folders, nor what changes no weight; steps and seed apart."""
    kind = options_of(name)
    asked: dict[str, Any] = {"control": "sketch"} if name == "control" else {}
    settings = kind(**asked, **dict.fromkeys(folders(kind), tmp_path)).settings()
    unsaid = {"steps", "seed", "artist", "artists", "shown", "held_out", *folders(kind)}
    unsaid |= {"follow", "prompts", "painted_alone"}  # what they give are facts
    unsaid |= {"dists"}  # where it is asked for alone
    unsaid |= {"save_minutes", "micro_batch", "gradient_checkpointing", "optimizer", "dry_run"}
    unsaid |= {"frozen_dtype", "fsdp"}
    unsaid |= {"width"} if name == "autoencoder" else set()
    unsaid |= {"condition", "style_scale"}  # facts say them in other words
    if issubclass(kind, SupervisionOptions):  # where renders have a part, they are facts
        unsaid |= {"adversary", "reward", "keep", "unmatched", "pictures", "often"}
        unsaid |= {"discriminator", "discriminator_lr", "kappa"}
    options = {part.name for part in fields(kind) if "how" in part.metadata}
    assert settings.keys() == options - unsaid and {"batch", "lr"} <= settings.keys()
    assert json.loads(json.dumps(settings)) == settings


class Toy(TrainingOptions, name="toy", steps=7, batch=2, lr=0.5, seed=3):
    """One of each kind of option."""

    width: int | None = option(4, "how wide", type=positive, off=("--whole", "its own"))
    extra: int = option(0, "more", recorded="given")
    test: int = option(9, "to test by", recorded="never")
    fast: bool = option(False, "hurry")


def test_a_new_option_is_one_field(tmp_path: Path) -> None:
    read = Toy.read(["--whole", "--extra", "2", "--fast", "--lr", "0.25", "--run", str(tmp_path)])
    assert (read.steps, read.lr, read.seed, read.run) == (7, 0.25, 3, tmp_path)
    assert read.settings() == {"batch": 2, "lr": 0.25, "width": None, "extra": 2, "fast": True}
    assert Toy(run=tmp_path).settings() == {"batch": 2, "lr": 0.5, "width": 4, "fast": False}
    with pytest.raises(SystemExit):
        Toy.read(["--width", "0"])


class Scaled(ScaledOptions, name="scaled", steps=7, batch=12, lr=0.5, seed=3):
    """One that trains on any number of ranks."""


def test_a_batch_is_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn by chance depends on the micro-batches, and is recorded."""

    def asked(world: int, micro_batch: int | None = None, batch: int = 12) -> tuple[Any, ...]:
        monkeypatch.setattr(ranks, "world", lambda: world)
        options = Scaled(run=tmp_path, micro_batch=micro_batch, batch=batch)
        options.check_scale()
        told = options.settings().get("micro_batch")
        return options.at_once, options.micro_batches, options.scale.micro_batches, told

    assert asked(1) == (12, 1, 1, None) == asked(1, 12)
    assert asked(2) == (6, 2, 2, 6) == asked(1, 6) == asked(2, 6)
    assert asked(3, 2) == (2, 6, 6, 2)
    for world, micro_batch in ((5, None), (1, 5), (2, 12), (13, None)):
        with pytest.raises(loop.TrainingError, match="a batch of 12 is no whole number of micro-"):
            asked(world, micro_batch)
    assert Scaled(run=tmp_path, optimizer="adamw8bit").settings()["optimizer"] == "adamw8bit"


def test_what_one_process_does_is_not_given_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    main = stage.main(Toy, lambda _: None, "toy")
    main([])
    monkeypatch.setattr(ranks, "world", lambda: 2)
    with pytest.raises(loop.TrainingError, match=r"toy trains in one process: start python -m "):
        main([])
    with pytest.raises(loop.TrainingError, match="a recipe is followed in one process: --check"):
        recipe.main(["storybook"])


def test_a_run_records_its_options_and_facts_win(tmp_path: Path) -> None:
    options = Toy(run=tmp_path, steps=1, save_minutes=0)
    with stage.trained(options, {}, lambda *_: {}, {"width": 8}, spent=3600) as measured:
        assert not (tmp_path / stage.RESULT).exists()
        measured["right"] = 1
    result = stage.read(tmp_path)
    wanted = {"stage": "toy", "right": 1, "width": 8, "batch": 2, "steps": 1, "seed": 3}
    assert wanted.items() <= result.items()
    assert result["hours"] == pytest.approx(1, abs=0.01)  # and its own step, on a busy machine
    kept = loop.load_state(tmp_path)["settings"]
    assert kept == {**options.settings(), "width": 8, "steps": 1, "seed": 3}
    with pytest.raises(KeyboardInterrupt), stage.trained(options, {}, lambda *_: {}, {"width": 8}):
        (tmp_path / stage.RESULT).unlink()
        raise KeyboardInterrupt
    assert not (tmp_path / stage.RESULT).exists()  # who is stopped while writing has not finished


def test_the_table_says_who_leaves_what() -> None:
    assert stages.MULTI_STEP == ("blocks", "teacher")
    assert stages.ONE_STEP == ("warmup", "distill", "texture", "average")
    assert set(stages.MODELS) == {*stages.MULTI_STEP, *stages.ONE_STEP, "straighten"}
    assert stages.sampling("teacher") == (16, 3.0) == stages.sampling("blocks")
    assert stages.sampling("teacher", 10) == (10, 3.0)
    assert stages.sampling("straighten", 10) == (4, 1.0)
    assert {stages.sampling(name, 10) for name in (*stages.ONE_STEP, "export")} == {(1, 1.0)}
    shipped = {name for name, row in STAGES.items() if row.shipped}
    assert shipped == {"text", "autoencoder", "decoder", *stages.ONE_STEP}
    with pytest.raises(argparse.ArgumentTypeError, match="nowhere is not what pairs leaves"):
        stage.finished_by("pairs")("nowhere")
