"""What goes wrong with graphs is told once, and the eager engine goes on."""

import gc
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import build_checkpoint, drawing, tiny_scheduler

from sdxs import SDXS, InputError, SDXSError
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines import prepared
from tests.engines.script import PLACE, Script, built, model, near

pytestmark = pytest.mark.usefixtures("script")


def test_a_graph_that_paints_something_else_is_not_used(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path))  # others have had their graphs checked
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    monkeypatch.setattr(Script, "wrong", 7.0)
    for i in range(4):
        assert ours("tree", seed=i).tobytes() == eager("tree", seed=i).tobytes()
        built(ours)
    assert [message for message in caplog.messages if "its pictures are" in message]
    with pytest.raises(SDXSError, match=r"engine .script.: its (embeddings|pictures) are"):
        model(opened, monkeypatch, waits=True)("tree", seed=1)


def test_what_a_runtime_says_is_told_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Script, "fails", "no such instruction\nand more")
    ours = model(opened, monkeypatch, waits=False)
    for i in range(5):
        assert isinstance(ours("tree", seed=i), Image.Image)
        built(ours)
    said = [message for message in caplog.messages if "painting without script" in message]
    assert len(said) == len(set(said)) == 1 and "no such instruction" in said[0]


def test_a_cache_that_cannot_be_written(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "file"))
    ours = model(opened, monkeypatch, waits=True)
    assert near(ours("tree", seed=1), SDXS(opened, "eager", **PLACE)("tree", seed=1))
    assert [message for message in caplog.messages if message.startswith("graphs are not kept")]
    folder = ours._engine._builder._folder.path  # type: ignore[attr-defined]
    assert list(folder.iterdir())
    del ours
    gc.collect()
    assert not folder.exists()


def test_a_step_that_is_not_linear_stays_eager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = tiny_scheduler("ddpm", clip_sample=False, variance_type="fixed_large")
    folder = build_checkpoint(tmp_path / "noisy", scheduler)
    opened = open_checkpoint(folder, safety=False, **PLACE)
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    for _ in range(3):
        assert ours("tree", seed=1).tobytes() == eager("tree", seed=1).tobytes()
    reason = "this checkpoint's scheduler clips or adds noise"
    assert caplog.text.count(reason) == 1 and not Script.loaded
    with pytest.raises(InputError, match=f"engine 'script' cannot be had: {reason}"):
        model(opened, monkeypatch, waits=True)


def test_a_mixed_first_batch_is_checked_with_all_that_it_brings(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph whose style, or whose control, does nothing."""
    compiled = Script.compile

    def without(self: Script, folder: Path, shapes: Any) -> Any:
        run = compiled(self, folder, shapes)
        return lambda inputs: run({**inputs, "scales": 0 * inputs["scales"]})

    mixed: list[dict[str, Any]] = [
        {"style": [None, "anime"]},
        {"control": [None, "sketch"], "control_image": [None, drawing(1)]},
    ]
    for options in mixed:
        monkeypatch.setattr(Script, "compile", compiled)
        ours = model(opened, monkeypatch, waits=True)
        ours("tree", seed=1)
        monkeypatch.setattr(Script, "compile", without)
        with pytest.raises(SDXSError, match=r"its pictures are .* dB from"):
            ours(["tree", "tree"], seed=1, **options)


def test_a_stored_graph_that_has_gone_is_made_anew(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "cache"))
    ours = model(opened, monkeypatch, waits=True)
    ours("tree", seed=1)
    shutil.rmtree(tmp_path / "cache")
    assert near(ours(["tree", "tree"], seed=1)[0], ours("tree", seed=1))


def test_weights_that_have_changed_since(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "it")
    linked = tmp_path / "linked"
    linked.mkdir()
    for part in folder.iterdir():
        (linked / part.name).symlink_to(part)
    opened = open_checkpoint(linked, safety=False, **PLACE)
    ours = model(opened, monkeypatch, waits=True)
    wanted = ours("tree", seed=1)
    os.utime(folder / "unet" / "diffusion_pytorch_model.safetensors", (7, 7))
    assert ours("tree", seed=1).tobytes() == wanted.tobytes()
    with pytest.raises(SDXSError, match="the weights on disk have changed since"):
        ours("tree", seed=1, decoder="large")


def test_a_graph_that_fails_while_it_paints(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    for prompt in ("tree", "ball"):
        ours(prompt)
        built(ours)
    engine: Any = ours._engine
    assert len(engine._graphs) == 2

    def broken(inputs: Any) -> Any:
        raise RuntimeError("out of memory")

    for key in engine._graphs:
        engine._graphs[key] = broken
    assert ours("house", seed=3).tobytes() == eager("house", seed=3).tobytes()
    assert "out of memory" in caplog.text and not engine._graphs


def test_what_failed_is_tried_again_later(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Script, "fails", "not now")
    ours = model(opened, monkeypatch, waits=False)
    for seed in range(3):
        ours("tree", seed=seed)
        built(ours)
    monkeypatch.setattr(Script, "fails", "")
    ours("tree", seed=1)
    built(ours)
    assert not Script.loaded
    monkeypatch.setattr(prepared, "AGAIN", 0)
    ours("tree", seed=1)
    built(ours)
    assert Script.loaded


def test_numbers_that_are_not_finite(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    ours("tree")
    words, noise = ours.encode(["tree"]), torch.full((1, 4, 8, 8), float("nan"))
    with pytest.raises(SDXSError, match="not finite"):
        ours._engine.paint(noise, words, {}, [], "tiny")
    assert isinstance(ours("tree"), Image.Image)
