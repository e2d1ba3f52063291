"""What the command refuses, and what it leaves as it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from tiny import build_checkpoint, tiny_scheduler

from sdxs.engines.onnx import OnnxGraph
from sdxs.engines.runtime import Unavailable
from sdxs.export import folder as folders
from sdxs.export import openvino, weights
from sdxs.export.__main__ import main, names
from sdxs.export.graphs import Graph, Spec

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text encoder's graph and no other, which is quick."""
    monkeypatch.setattr(folders, "graphs_of", lambda facts: [Graph(Spec(), "text", ("states",))])


def refused(ran: Ran, *arguments: object) -> str:
    """The one line that the command complains in."""
    status, printed, complaint = ran(main, *arguments)
    assert status == 2 and printed == ""
    (line,) = complaint.splitlines()[-1:]
    assert line.startswith(("sdxs: ", "python -m sdxs.export: error: ")) and len(line) < 600
    return line


@pytest.mark.parametrize(
    "scheduler",
    [
        tiny_scheduler("ddpm", clip_sample=False, variance_type="fixed_large"),
        tiny_scheduler("ddim", clip_sample=True),
    ],
    ids=["noise", "clips"],
)
def test_a_step_that_is_not_linear(scheduler: Any, tmp_path: Path, ran: Ran) -> None:
    checkpoint = build_checkpoint(tmp_path / "toy", scheduler)
    line = refused(ran, checkpoint, "--to", "onnx", "--out", tmp_path / "out")
    assert "its scheduler clips or adds noise" in line and "scheduler_config.json" in line
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_a_missing_library(
    tiny_checkpoint: Path, tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*_: Any) -> None:
        raise Unavailable("it is not installed: pip install it")

    monkeypatch.setattr(folders.RUNTIMES["onnx"], "check", check)
    out = tmp_path / "out"
    line = refused(ran, tiny_checkpoint, "--to", "onnx", "--out", out)
    assert line == "sdxs: --to onnx: it is not installed: pip install it" and not out.exists()


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize("fault", ["far", "broken"])
def test_a_graph_that_does_something_else(
    fault: str, tiny_checkpoint: Path, tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept, and what an earlier export left stays."""
    out = tmp_path / "out"
    whole = (tiny_checkpoint, "--to", "onnx", "--out", out)
    assert ran(main, *whole)[0] == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run = OnnxGraph.__call__

    def wrong(self: OnnxGraph, inputs: Any) -> Any:
        if fault == "broken":
            raise RuntimeError("no kernel")
        return [3 * each for each in run(self, inputs)]

    monkeypatch.setattr(OnnxGraph, "__call__", wrong)
    status, _, complaint = ran(main, *whole)
    said = {"far": "dB from the eager engine, and 40 are needed", "broken": "no kernel"}[fault]
    assert status == 2 and said in complaint and "sdxs: text" in complaint
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_disk_that_is_full(
    runtime: str, tiny_checkpoint: Path, tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        kinds: dict[str, type[Exception]] = {"onnx": SafetensorError, "openvino": RuntimeError}
        raise kinds[runtime]("no space left")

    monkeypatch.setattr(weights, "save_file", full)
    monkeypatch.setattr(openvino.library(), "save_model", full)
    line = refused(ran, tiny_checkpoint, "--to", runtime, "--out", tmp_path / "out")
    assert "no space left" in line and not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("text_alone")
def test_what_is_replaced(tiny_checkpoint: Path, tmp_path: Path, ran: Ran) -> None:
    """An empty folder, an earlier export: not a file that is somebody's, wherever it lies."""
    out = tmp_path / "below" / "out"
    whole = (tiny_checkpoint, "--to", "onnx", "--out", out)
    for _ in range(2):
        assert ran(main, *whole)[0] == 0
        shutil.rmtree(out / "weights")
    (out / "weights").mkdir()
    (out / "weights/notes.txt").write_text("mine")
    assert "is there and is another one's: choose another --out" in refused(ran, *whole)
    assert (out / "weights/notes.txt").read_text() == "mine"
    shutil.rmtree(out)
    out.mkdir()
    assert ran(main, *whole)[0] == 0
    shutil.rmtree(out)
    out.write_text("mine")
    assert "is there and is another one's" in refused(ran, *whole)
    out.write_text(json.dumps({"files": {}}))
    assert "is there and is another one's" in refused(ran, *whole)


@pytest.mark.usefixtures("text_alone")
def test_two_exports_are_the_same_to_the_last_byte(
    tiny_checkpoint: Path, tmp_path: Path, ran: Ran
) -> None:
    found = []
    for name in ("a", "b"):
        assert ran(main, tiny_checkpoint, "--to", "onnx", "--out", tmp_path / name)[0] == 0
        found.append(json.loads((tmp_path / name / "sdxs.json").read_text()))
    assert found[0] == found[1]


def test_names_of_files(
    tiny_checkpoint: Path, tiny_style: Path, tiny_control: Path, tmp_path: Path, ran: Ran
) -> None:
    twice = ("--styles", f"pen={tiny_style}", "--controls", f"pen={tiny_control}")
    line = refused(ran, tiny_checkpoint, "--to", "onnx", "--out", tmp_path / "out", *twice)
    assert "a style and a control are both called pen: call one of them otherwise" in line
    asked = (tiny_checkpoint, "--to", "onnx", "--out", tmp_path / "out", "--styles")
    assert "needs a name for files: NAME=" in refused(ran, *asked, "some/a b")
    assert "a+b" in refused(ran, *asked, "a+b=some")
    line = refused(ran, *asked, f"ink={tmp_path}/none.safetensors")
    assert "none.safetensors" in line
    line = refused(ran, *asked, f"ink={tmp_path}/a=b/none.safetensors")
    assert "a=b/none.safetensors" in line
    assert names("/a=b/pen.safetensors,ink=c=d") == {"pen": "/a=b/pen.safetensors", "ink": "c=d"}
