"""Graphs are built when they are needed while the eager engine answers, and are checked first.

The runtime here is TorchScript, which is part of torch: what is tested is everything around it.
"""

import gc
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from tiny import build_checkpoint, drawing, tiny_scheduler
from torch import nn

from sdxs import SDXS, SDXSError
from sdxs.checkpoint.open import Opened, open_checkpoint
from sdxs.engines import convert
from sdxs.engines.builder import Builder
from sdxs.engines.graphs import GraphEngine
from sdxs.model.graph import Inputs

CPU = torch.device("cpu")
PLACE = {"device": CPU, "dtype": torch.float32}


class Script:
    """A runtime that traces with torch.jit and runs what it stored."""

    name: ClassVar[str] = "script"
    loaded: ClassVar[list[dict[str, tuple[int, ...]]]] = []
    wrong: ClassVar[float] = 0.0  # added to what graphs paint
    fails: ClassVar[str] = ""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.read_as = dtype

    def versions(self) -> dict[str, str]:
        return {"runtime": self.name}

    def save(self, graph: nn.Module, example: Inputs, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, and that it is old
            traced = torch.jit.trace(graph, example_kwarg_inputs=example, check_trace=False)
            torch.jit.save(traced, folder / "graph.pt")

    def load(self, folder: Path, shapes: Any) -> Any:
        if self.fails:
            raise RuntimeError(self.fails)
        self.loaded.append(dict(shapes))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.jit.load(folder / "graph.pt")

        def run(inputs: Any) -> Any:
            assert {name: array.shape for name, array in inputs.items()} == shapes
            tensors = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
            first, *more = graph(**tensors)
            return [(first + self.wrong).to(first.dtype).numpy(), *(each.numpy() for each in more)]

        return run


@pytest.fixture(autouse=True)
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Script]:
    """The runtime, with a cache of its own; the process that stores graphs is this one."""
    monkeypatch.setenv("SDXS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(convert.RUNTIMES, "script", Script)
    monkeypatch.setattr(Script, "loaded", [])

    monkeypatch.setattr(Builder, "run", lambda _, module, told: str(convert.answer(told)))
    return Script


@pytest.fixture(scope="module")
def opened(tiny_checkpoint: Path, tiny_control: Path, peft_folder: Path) -> Opened:
    return open_checkpoint(
        tiny_checkpoint, styles={"anime": str(peft_folder)},
        controls={"sketch": str(tiny_control)}, safety=False, **PLACE,
    )  # fmt: skip


def model(opened: Opened, monkeypatch: pytest.MonkeyPatch, *, waits: bool) -> SDXS:
    from sdxs.engines import ENGINES

    def make(*arguments: Any) -> GraphEngine:
        return GraphEngine(Script, *arguments, waits=waits)

    monkeypatch.setitem(ENGINES, "script", make)
    return SDXS(opened, "script", **PLACE)


def near(ours: Any, theirs: Any) -> bool:
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, list) else [(ours, theirs)]
    tensors = [[torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8) for p in pair]
               for pair in pairs]  # fmt: skip
    return all(int((a.int() - b.int()).abs().max()) <= 1 for a, b in tensors)


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


def built(ours: SDXS) -> None:
    """Wait for what is being built."""
    builder: Any = ours._engine._builder
    done = threading.Event()
    builder.later(done.set)
    assert done.wait(60)


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


def test_what_is_stored_is_found_again(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    first = model(opened, monkeypatch, waits=True)("tree", seed=1)
    monkeypatch.setattr(Builder, "run", None)
    assert model(opened, monkeypatch, waits=True)("tree", seed=1).tobytes() == first.tobytes()


def test_a_graph_that_paints_something_else_is_not_used(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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
    folder = Path(ours._engine._builder._folder.name)  # type: ignore[attr-defined]
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
    ours, eager = model(opened, monkeypatch, waits=True), SDXS(opened, "eager", **PLACE)
    assert ours("tree", seed=1).tobytes() == eager("tree", seed=1).tobytes()
    assert "its scheduler's step is not linear" in caplog.text


def test_numbers_that_are_not_finite(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = model(opened, monkeypatch, waits=True)
    ours("tree")
    words, noise = ours.encode(["tree"]), torch.full((1, 4, 8, 8), float("nan"))
    with pytest.raises(SDXSError, match="not finite"):
        ours._engine.paint(noise, words, {}, [], "tiny")
    assert isinstance(ours("tree"), Image.Image)


def test_threads(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ours, eager = model(opened, monkeypatch, waits=True), SDXS(opened, "eager", **PLACE)
    prompts = ["tree", "ball", "house", "a red house"]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda i: ours(prompts[i % 4], seed=i), range(12)))
    for i, picture in enumerate(pictures):
        assert near(picture, eager(prompts[i % 4], seed=i))
    assert len(Script.loaded) == 2


END = """
import time
from sdxs.engines.builder import Builder
import atexit
builder = Builder()
atexit.register(builder.end)
{begin}
time.sleep(0.5)
"""


@pytest.mark.parametrize(
    "begin",
    [
        "builder.later(lambda: builder.run('timeit', ''))",
        "builder.later(lambda: time.sleep(1))\nbuilder.later(lambda: time.sleep(60))",
    ],
)
def test_a_program_ends_while_something_is_built(begin: str) -> None:
    start = time.monotonic()
    code = END.format(begin=begin).replace("'timeit', ''", "'this', ''")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 40


def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"it could not be traced: .*Expecting value"):
        Builder().run("sdxs.engines.convert", "nonsense")
