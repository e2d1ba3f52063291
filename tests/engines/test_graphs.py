"""Graphs paint what the eager engine paints; they are built when needed, while it answers."""

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loras import kohya, lora_of_text
from safetensors.torch import save_file
from tiny import drawing

from sdxs import SDXS
from sdxs.checkpoint.open import Opened, Places, open_checkpoint
from sdxs.engines import graphs
from sdxs.engines.builder import Builder
from tests.engines.script import PLACE, Script, built, model, near

pytestmark = pytest.mark.usefixtures("script")

ASKED: list[dict[str, Any]] = [
    {},
    {"decoder": "large"},
    {"size": (96, 64)},
    {"style": ["anime", None, "anime"], "style_scale": [0.5, 1, 2]},
    {"control": ["sketch", None, None], "control_image": [drawing(1), None, None]},
    {"control": "sketch", "control_image": drawing(1), "style": "anime", "control_scale": 0.4},
]


@pytest.mark.parametrize("options", ASKED, ids=lambda options: "+".join(options) or "plain")
def test_a_graph_paints_what_the_eager_engine_paints(
    options: dict[str, Any], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = model(opened, monkeypatch, waits=True)
    eager = SDXS(opened, "eager", **PLACE)
    prompts = ["a red house", "tree", "a big blue ball at night"]
    painted = ours(prompts, seed=[1, 2, 3], **options)
    assert near(painted, eager(prompts, seed=[1, 2, 3], **options))
    assert len({picture.tobytes() for picture in painted}) == 3
    sizes = [shapes["noise"][0] for shapes in Script.loaded if "noise" in shapes]
    assert sizes == [4]  # three rows, and one more for nobody


def test_many_rows_go_in_parts(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    prompts = ["a red house"] * 11
    pictures = ours(prompts, seed=range(11))
    assert [shapes["noise"][0] for shapes in Script.loaded if "noise" in shapes] == [8, 4]
    assert near(pictures, SDXS(opened, "eager", **PLACE)(prompts, seed=range(11)))
    assert near(pictures[9], ours("a red house", seed=9))


def test_strength_is_an_input(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    plain = ours("tree", seed=1)
    styled = [ours("tree", seed=1, style="anime", style_scale=s) for s in (0.5, 1.0, 0.5, 0)]
    assert styled[0].tobytes() == styled[2].tobytes() != styled[1].tobytes()
    assert styled[3].tobytes() == plain.tobytes()  # the first bits
    assert sum("scales" in shapes for shapes in Script.loaded) == 1  # one graph for all of them


def test_the_eager_engine_answers_until_a_graph_is_there(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    wanted = eager("tree", seed=1)
    assert ours("tree", seed=1).tobytes() == wanted.tobytes()
    built(ours)
    assert not Script.loaded  # a single picture is not worth it
    assert ours("ball", seed=1).tobytes() == eager("ball", seed=1).tobytes()
    built(ours)
    assert len(Script.loaded) == 2  # text and pictures
    engine: Any = ours._engine
    monkeypatch.setattr(engine._eager, "paint", None)
    monkeypatch.setattr(engine._eager, "encode", None)
    assert near(ours("house", seed=2), eager("house", seed=2))


def test_a_batch_goes_row_by_row_until_its_graph_is_there(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: Any = model(opened, monkeypatch, waits=False)
    for seed in range(2):
        ours("tree", seed=seed)
        built(ours)
    eager = SDXS(opened, "eager", **PLACE)(["tree"] * 3, seed=[1, 2, 3])
    monkeypatch.setattr(ours._engine._eager, "paint", None)  # it is not needed any more
    assert near(ours(["tree"] * 3, seed=[1, 2, 3]), eager)
    assert {shapes["noise"][0] for shapes in Script.loaded if "noise" in shapes} == {1}


def test_what_is_stored_is_found_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    first = model(opened, monkeypatch, waits=True)("tree", seed=1)
    monkeypatch.setattr(Builder, "run", None)
    assert model(opened, monkeypatch, waits=True)("tree", seed=1).tobytes() == first.tobytes()


def test_styles_of_text_encoders(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = tmp_path / "it.safetensors"
    text = lora_of_text(tiny_checkpoint, ["q_proj", "v_proj"])
    save_file(kohya(text, "lora_te_text_model_", 8), style)
    opened = open_checkpoint(tiny_checkpoint, styles={"it": str(style)}, safety=False, **PLACE)
    assert opened.facts.text_styles == {"it"}
    ours, eager = model(opened, monkeypatch, waits=True), SDXS(opened, "eager", **PLACE)
    options: dict[str, Any] = {"seed": 1, "style": ["it", None, "it"], "style_scale": [1, 1, 0.5]}
    prompts = ["tree", "tree", "tree"]
    painted = ours(prompts, **options)
    assert near(painted, eager(prompts, **options))
    assert len({picture.tobytes() for picture in painted}) == 3
    assert any(shapes.keys() == {"ids", "scales"} for shapes in Script.loaded)


def test_a_model_that_nobody_holds_goes(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=False)
    ours("tree", seed=1), ours("ball", seed=2)
    built(ours)
    assert Script.loaded
    engine: Any = ours._engine
    thread, gone = engine._builder._thread, weakref.ref(engine)
    del ours, engine
    for _ in range(100):
        gc.collect()
        if gone() is None:
            break
        time.sleep(0.05)
    assert gone() is None
    thread.join(10)
    assert not thread.is_alive()


def test_every_file_that_is_read_counts(
    tiny_checkpoint: Path, tiny_control: Path, peft_folder: Path
) -> None:
    """Also of a style and a control of one name, and of a PEFT style that is a single file."""
    file = peft_folder / "adapter_model.safetensors"
    places = Places(tiny_checkpoint, {"it": file}, {"it": tiny_control})
    names = set(places.files())
    assert {"styles/it/adapter_model.safetensors", "styles/it/adapter_config.json"} <= names
    assert {"controls/it/config.json", "unet/config.json", "model_index.json"} <= names
    assert "vae_large/diffusion_pytorch_model.safetensors" in names
    assert set(places.only(["it"], []).files()) < names
    read = set(places.only(["it"], ["it"]).files())
    assert read == names


def test_compiled_graphs_are_bounded(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "granted_memory", lambda: 3)
    ours = model(opened, monkeypatch, waits=True)
    for size in (64, 96, 64):
        ours("tree", size=size)
        assert len(ours._engine._graphs) == 1  # type: ignore[attr-defined]
    assert len(Script.loaded) == 4


def test_as_many_stay_as_there_is_memory_for(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = model(opened, monkeypatch, waits=True)
    engine: Any = ours._engine
    ours("tree", size=64)
    key = next(key for key in engine._graphs if key.spec.decoder)
    size = engine._sizes[key]
    stored = engine._memory(key._replace(size=(0, 0)), 1)
    assert stored == graphs.COPIES and size > graphs.ROOM * 64 * 64
    assert engine._memory(key, 0) == graphs.ROOM * 64 * 64
    assert engine._memory(key._replace(rows=8), 0) == 8 * graphs.ROOM * 64 * 64
    engine._most = 2.5 * size
    for side in (96, 64, 96, 128):
        ours("tree", size=side)
    assert [kept.size for kept in engine._graphs][-1] == (16, 16)
    assert sum(engine._sizes[kept] for kept in engine._graphs) <= engine._most


def test_threads(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, eager = model(opened, monkeypatch, waits=True), SDXS(opened, "eager", **PLACE)
    prompts = ["tree", "ball", "house", "a red house"]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda i: ours(prompts[i % 4], seed=i), range(12)))
    for i, picture in enumerate(pictures):
        assert near(picture, eager(prompts[i % 4], seed=i))
    assert len(Script.loaded) == 2


def test_without_a_home_a_graph_is_not_kept(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SDXS_CACHE", "~nobody-of-this-name")
    model(opened, monkeypatch, waits=True)("tree")
    assert "graphs are not kept: there is no home for ~nobody" in caplog.text and Script.loaded
