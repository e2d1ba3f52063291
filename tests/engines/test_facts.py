"""What is remembered of a checkpoint: who has painted before reads no network to paint."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from programs import run
from tiny import build_checkpoint

from sdxs import SDXS, SDXSError
from sdxs.checkpoint.open import Opened, Places, open_checkpoint
from sdxs.engines import compare, facts, prepared, recall_for
from sdxs.engines.facts import recall, remember
from tests.engines.script import PLACE, Script, built, model, near

PROMPTS = ["a red house", "Ünïcode, and more words than fit " * 30]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.usefixtures("kept")
def test_what_is_remembered_is_what_was_known(opened: Opened) -> None:
    opened = replace(opened, facts=replace(opened.facts, doubt="many steps"))
    assert recall(opened.places) is None
    remember(opened)
    found = recall(opened.places)
    assert found is not None
    assert found.offer == opened.facts.offer and found.step == opened.facts.step
    assert found.text_styles == opened.facts.text_styles
    assert found.doubt == opened.facts.doubt == "many steps"
    for ours, theirs in zip(
        found.readers.ids(PROMPTS), opened.facts.readers.ids(PROMPTS), strict=True
    ):
        assert ours.equal(theirs)
    assert found.readers.cut_off(PROMPTS[1]) == opened.facts.readers.cut_off(PROMPTS[1]) != ""


def test_other_files_are_another_checkpoint(opened: Opened, kept: Path, tmp_path: Path) -> None:
    remember(opened)
    places = opened.places
    assert recall(places.only((), ())) is None
    folder = build_checkpoint(tmp_path / "other")
    assert recall(Places(folder, {}, {})) is None
    assert recall(Places(places.folder, {"another": places.styles["anime"]}, {})) is None
    (file,) = kept.glob("checkpoints/*/facts.json")
    file.write_text(file.read_text()[:-1])
    assert recall(places) is None and not file.exists()


def test_a_cache_that_cannot_be_written(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "file"))
    remember(opened)
    assert recall(opened.places) is None


@pytest.mark.usefixtures("script", "kept")
def test_a_second_program_reads_no_network(
    tiny_checkpoint: Path, peft_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until something is asked for that is not stored."""
    styles: Any = {"styles": {"anime": str(peft_folder)}}

    def load(waits: bool) -> Any:
        opened = open_checkpoint(
            tiny_checkpoint, safety=False, recall=recall_for("script", PLACE["device"]),
            **styles, **PLACE,
        )  # fmt: skip
        return model(opened, monkeypatch, waits=waits)

    eager = SDXS.load(tiny_checkpoint, engine="eager", safety=False, **styles, **PLACE)
    first = load(True)
    wanted = first("a red house", seed=1)
    assert near(wanted, eager("a red house", seed=1))
    read, reads = Places.read, []
    monkeypatch.setattr(Places, "read", lambda *told: reads.append(told) or read(*told))
    for waits in (True, False):
        ours = load(waits)
        assert (ours.size, ours.styles, ours.offer) == (first.size, first.styles, first.offer)
        assert ours("a red house", seed=1).tobytes() == wanted.tobytes()
        assert ours("a tree", seed=2).size == wanted.size
        assert not reads and ours._engine._made is None
    asked: Any = {"seed": 1, "style": "anime", "style_scale": 0.5}
    assert near(ours("a red house", **asked), eager("a red house", **asked))
    assert len(reads) == 1  # that is not stored: the eager engine answers
    built(ours)


@pytest.mark.usefixtures("script", "kept")
def test_networks_that_are_read_late_are_those_that_were_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_checkpoint(tmp_path / "tiny")

    def load() -> SDXS:
        recalls = recall_for("script", PLACE["device"])
        opened = open_checkpoint(folder, safety=False, recall=recalls, **PLACE)
        return model(opened, monkeypatch, waits=False)

    first = load()
    for seed in range(2):
        first(f"tree {seed}", seed=seed)
        built(first)
    ours = load()
    assert ours("tree", seed=1).size == ours.size  # by its graph
    (folder / "unet/diffusion_pytorch_model.safetensors").touch()
    with pytest.raises(SDXSError, match=r"the weights on disk have changed .*: start again"):
        ours("tree", seed=1, output_type="pt")


@pytest.mark.usefixtures("script", "kept")
def test_a_graph_is_compared_once_and_not_by_each_program(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, kept: Path
) -> None:
    wanted = model(opened, monkeypatch, waits=True)("tree", seed=1)
    for check in ("same_pixels", "same_words"):
        monkeypatch.setattr(prepared, check, None)
    assert model(opened, monkeypatch, waits=True)("tree", seed=1).tobytes() == wanted.tobytes()
    monkeypatch.setattr(prepared, "same_pixels", compare.same_pixels)
    monkeypatch.setattr(prepared, "same_words", compare.same_words)
    for file in kept.glob("graphs/*/graph.pt"):
        file.write_bytes(file.read_bytes()[:-1])
    monkeypatch.setattr(Script, "wrong", 7.0)  # what is made anew is compared anew
    with pytest.raises(SDXSError, match=r"its (embeddings|pictures) are"):
        model(opened, monkeypatch, waits=True)("tree", seed=1)


def test_only_engines_with_stored_graphs_remember() -> None:
    device = PLACE["device"]
    assert recall_for("openvino", device) is recall_for("auto", device) is facts.recall
    places: Any = None
    for engine in ("eager", "compile"):
        assert recall_for(engine, device)(places) is None


def test_nothing_that_builds_networks_is_imported_to_paint() -> None:
    code = """
import sys, sdxs.pipeline, sdxs.engines.openvino
heavy = {"diffusers", "transformers", "accelerate", "peft", "scipy", "sklearn"} & {*sys.modules}
assert not heavy, heavy
"""
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
