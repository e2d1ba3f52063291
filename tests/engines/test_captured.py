"""What is recorded paints what the eager engine paints, whatever is done with its tensors."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from loras import kohya, lora_of_text
from PIL import Image
from safetensors.torch import save_file
from tiny import build_checkpoint, drawing, tiny_scheduler
from torch import Tensor, nn

from sdxs import SDXS, InputError, SDXSError
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines import ENGINES, captured, prepared
from sdxs.engines.captured import CapturedEngine
from sdxs.engines.recorder import Replay
from sdxs.model.graph import Inputs
from tests.engines.script import PLACE, near
from tests.engines.test_graphs import ASKED


class Scripted:
    """Records as CUDA graphs are: what a recording gives is written over by any other one."""

    name: ClassVar[str] = "scripted"
    recorded: ClassVar[list[dict[str, tuple[int, ...]]]] = []
    wrong: ClassVar[float] = 0.0  # added to what is painted
    fails: ClassVar[str] = ""

    def __init__(self, device: torch.device) -> None:
        self._outputs: list[Tensor] = []
        self._alone = threading.Lock()

    def record(self, function: nn.Module, buffers: Inputs) -> Replay:
        if self.fails:
            raise RuntimeError(self.fails)
        self.recorded.append({name: tuple(value.shape) for name, value in buffers.items()})
        assert self._alone.acquire(blocking=False)
        outputs = [torch.empty_like(output) for output in function(**buffers)]
        self._alone.release()
        self._outputs += outputs

        def replay() -> list[Tensor]:
            assert self._alone.acquire(blocking=False), "two at once"
            for output in self._outputs:
                output.zero_()
            for output, new in zip(outputs, function(**buffers), strict=True):
                output.copy_(new + self.wrong)
            self._alone.release()
            return outputs

        return replay


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "recorded", [])


def model(opened: Opened, monkeypatch: pytest.MonkeyPatch, *, waits: bool) -> SDXS:
    def make(*arguments: Any) -> CapturedEngine:
        return CapturedEngine(Scripted, *arguments, waits=waits)  # type: ignore[arg-type]

    monkeypatch.setitem(ENGINES, "scripted", make)
    return SDXS(opened, "scripted", **PLACE)


def painted() -> list[int]:
    """The rows of what was recorded for pictures."""
    return [shapes["noise"][0] for shapes in Scripted.recorded if "noise" in shapes]


@pytest.mark.parametrize("options", ASKED, ids=lambda options: "+".join(options) or "plain")
def test_a_recording_paints_what_the_eager_engine_paints(
    options: dict[str, Any], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, eager = model(opened, monkeypatch, waits=True), SDXS(opened, "eager", **PLACE)
    for prompts in (["a red house", "tree", "a blue ball"], ["ball", "a green tree", "house"]):
        pictures = ours(prompts, seed=[1, 2, 3], **options)
        assert near(pictures, eager(prompts, seed=[1, 2, 3], **options))
        assert len({picture.tobytes() for picture in pictures}) == 3
    assert painted() == [4]  # three rows, and one more for nobody


def test_many_rows_go_in_parts(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    pictures = ours(["a red house"] * 19, seed=range(19))
    assert painted() == [16, 4]
    assert near(pictures, SDXS(opened, "eager", **PLACE)(["a red house"] * 19, seed=range(19)))


def test_what_is_given_stays(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    engine, ids = ours._engine, ours._readers.ids(["tree"])
    words = engine.encode(ids, {})
    noise = torch.randn(2, 4, 8, 8).split(1)
    first = engine.paint(noise[0], words, {}, [], "tiny")
    kept = words.states.clone(), first.clone()
    engine.encode(ours._readers.ids(["ball"]), {})
    second = engine.paint(noise[1], words, {}, [], "tiny")
    assert torch.equal(words.states, kept[0]) and torch.equal(first, kept[1])
    assert not torch.equal(first, second)


def test_strength_is_an_input(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    plain = ours("tree", seed=1)
    styled = [ours("tree", seed=1, style="anime", style_scale=s) for s in (0.5, 1.0, 0.5, 0)]
    assert styled[0].tobytes() == styled[2].tobytes() != styled[1].tobytes()
    assert styled[3].tobytes() == plain.tobytes()  # the first bits
    led = {"control": "sketch", "control_image": drawing(1)}
    ours("tree", seed=1, **led, control_scale=0.3), ours("tree", seed=1, **led, control_scale=1.2)
    assert painted() == [1, 1, 1]  # plain, in a style, with a control


def test_a_style_of_the_text_encoder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = lora_of_text(tiny_checkpoint, ["q_proj", "v_proj"])
    save_file(kohya(text, "lora_te_text_model_", 8), tmp_path / "it.safetensors")
    styles = {"it": str(tmp_path / "it.safetensors")}
    opened = open_checkpoint(tiny_checkpoint, styles=styles, safety=False, **PLACE)
    ours, eager = model(opened, monkeypatch, waits=True), SDXS(opened, "eager", **PLACE)
    options: dict[str, Any] = {"seed": 1, "style": ["it", None, "it"], "style_scale": [1, 1, 0.5]}
    assert near(ours(["tree"] * 3, **options), eager(["tree"] * 3, **options))
    assert any(shapes.keys() == {"ids", "scales"} for shapes in Scripted.recorded)


def test_a_kind_is_recorded_when_it_comes_twice(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    assert ours("tree", seed=1).tobytes() == eager("tree", seed=1).tobytes()
    assert not Scripted.recorded
    assert near(ours("ball", seed=1), eager("ball", seed=1))
    assert len(Scripted.recorded) == 2  # text and pictures
    engine: Any = ours._engine
    monkeypatch.setattr(engine, "_made", object())  # recordings have the eager engine themselves
    assert near(ours("house", seed=2), eager("house", seed=2))
    assert len(Scripted.recorded) == 2


def test_recordings_are_bounded(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "RECORDINGS", 2)
    ours = model(opened, monkeypatch, waits=True)
    for size in (64, 96, 64, 128, 64, 96):  # with the text, there is room for one
        ours("tree", size=size)
        ours(f"a tree of {size}", size=size)
        assert len(ours._engine._graphs) <= 2  # type: ignore[attr-defined]
    assert painted() == [1] * 6


def test_what_cannot_be_recorded_is_told_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Scripted, "fails", "CUDA out of memory\nand more")
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    for seed in range(4):
        assert ours("tree", seed=seed).tobytes() == eager("tree", seed=seed).tobytes()
    said = [message for message in caplog.messages if "painting without scripted" in message]
    assert said == ["painting without scripted, slower: CUDA out of memory and more"]
    with pytest.raises(SDXSError, match=r"^engine 'scripted': CUDA out of memory and more$"):
        model(opened, monkeypatch, waits=True)("tree")
    monkeypatch.setattr(Scripted, "fails", "")
    ours("tree", seed=1)
    assert not painted()
    monkeypatch.setattr(prepared, "AGAIN", 0)
    assert near(ours("tree", seed=1), eager("tree", seed=1)) and painted() == [1]


def test_a_recording_that_paints_something_else_is_not_used(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Scripted, "wrong", 7.0)
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    for seed in range(3):
        assert ours("tree", seed=seed).tobytes() == eager("tree", seed=seed).tobytes()
    assert [message for message in caplog.messages if "its pictures are" in message]
    with pytest.raises(SDXSError, match=r"engine .scripted.: its (embeddings|pictures) are"):
        model(opened, monkeypatch, waits=True)("tree", seed=1)


def test_a_recording_that_fails_later(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    for prompt in ("tree", "ball"):
        ours(prompt)
    engine: Any = ours._engine
    for recording in engine._graphs.values():
        recording._replay = None
    assert ours("house", seed=3).tobytes() == eager("house", seed=3).tobytes()
    assert "painting without scripted" in caplog.text and not engine._graphs


def test_threads(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    prompts = ["tree", "ball", "house", "a red house"]
    options = [{}, {"style": "anime"}, {"output_type": "pt"}]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: ours(prompts[i % 4], seed=i, **options[i % 3]), range(18)))
    for i, picture in enumerate(found):
        wanted = eager(prompts[i % 4], seed=i, **options[i % 3])
        if i % 3 == 2:
            assert torch.allclose(picture, wanted, atol=1e-4)
        else:
            assert near(picture, wanted)
    assert painted() == [1, 1]


def test_numbers_that_are_not_finite(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    ours("tree")
    noise = torch.full((1, 4, 8, 8), float("nan"))
    with pytest.raises(SDXSError, match="not finite"):
        ours._engine.paint(noise, ours.encode(["tree"]), {}, [], "tiny")
    assert isinstance(ours("tree"), Image.Image)


def test_a_step_that_is_not_linear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = tiny_scheduler("ddpm", clip_sample=False, variance_type="fixed_large")
    folder = build_checkpoint(tmp_path / "noisy", scheduler)
    opened = open_checkpoint(folder, safety=False, **PLACE)
    ours, eager = model(opened, monkeypatch, waits=False), SDXS(opened, "eager", **PLACE)
    for _ in range(3):
        assert ours("tree", seed=1).tobytes() == eager("tree", seed=1).tobytes()
    reason = "this checkpoint's scheduler clips or adds noise"
    assert caplog.text.count(reason) == 1 and not Scripted.recorded
    with pytest.raises(InputError, match=f"engine 'scripted' cannot be had: {reason}"):
        model(opened, monkeypatch, waits=True)
