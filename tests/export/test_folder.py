"""A folder of graphs paints what the package paints, read by nothing but its own files."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from loras import loras_of
from safetensors import safe_open
from tiny import build_checkpoint, drawing, load

from sdxs import SDXS
from sdxs.checkpoint.open import open_checkpoint
from sdxs.config import EMBEDDED
from sdxs.export import folder as folders
from sdxs.export.__main__ import main
from sdxs.export.graphs import graphs_of
from tests.export.client import Client

Ran = Callable[..., tuple[int, str, str]]
PROMPTS, SEEDS = ["a red house at sunset", "a big blue tree " * 9], [3, 4]
LINES = drawing(1)
DOUBLE = onnx.TensorProto.DOUBLE


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v-prediction, of one decoder."""
    return build_checkpoint(tmp_path_factory.mktemp("plain") / "toy")


@pytest.fixture(scope="module")
def ink(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style that changes the text encoder, too."""
    folder = tmp_path_factory.mktemp("styles") / "ink"
    for name, lora in zip(("unet", "text_encoder"), loras_of(plain), strict=True):
        lora.save_pretrained(folder / name)
    return folder


def exported(ran: Ran, out: Path, checkpoint: object, *options: object) -> Client:
    """By the command, which says of each graph how near it is."""
    status, printed, complaint = ran(main, checkpoint, "--out", out, *options)
    assert status == 0, complaint
    client = Client(out)
    assert all(f"{Path(row['file']).stem}: " in printed for row in client.index["graphs"])
    if client.index["runtime"] == "onnx":
        assert not any(has_float64(out / row["file"]) for row in client.index["graphs"])
    return client


def has_float64(file: Path) -> bool:
    """Whether something is computed in it, for which browsers' WebGPU has nothing."""
    given = [each for node in onnx.load(file, load_external_data=False).graph.node
             for each in node.attribute]  # fmt: skip
    return any(
        each.t.data_type == DOUBLE or (each.name == "to" and each.i == DOUBLE) for each in given
    )


def same(
    client: Client, model: Any, size: tuple[int, int], image: Any = None, **asked: Any
) -> None:
    """Two pictures, of prompts one of which is cut off, to the last level but one."""
    lines = image.resize(size) if image else None
    found = client.paint(PROMPTS, SEEDS, size, image=image and np.asarray(lines), **asked)
    led = {"control_image": [lines] * 2} if image else {}
    with pytest.warns(UserWarning, match="longer than"):
        wanted = model(PROMPTS, seed=SEEDS, size=size, **asked, **led)
    style, scale = asked.get("style", ""), asked.get("style_scale", 1)
    said = model.encode(PROMPTS, {style: torch.full((2,), float(scale))} if style else {})
    for place, each in enumerate(client.said(PROMPTS, style, scale)):
        assert np.abs(each - said[place].numpy()).max() < 1e-4
    for ours, theirs in zip(found, wanted, strict=True):
        theirs = np.asarray(theirs).astype(int)
        assert theirs.std() > 3
        assert np.abs(ours - theirs).max() <= 1


def only(names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No graphs but these, which takes less time."""

    def some(facts: Any) -> Any:
        return [graph for graph in graphs_of(facts) if graph.name in names]

    monkeypatch.setattr(folders, "graphs_of", some)


def test_which_graphs(plain: Path, ink: Path, tiny_control: Path) -> None:
    opened = open_checkpoint(
        plain, styles={"ink": str(ink)}, controls={"pen": str(tiny_control)}, safety=False,
        device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip
    offer = replace(opened.facts.offer, decoders=("tiny", "large"))
    ends = ("", "+ink", "+pen", "+ink+pen")
    assert [graph.name for graph in graphs_of(replace(opened.facts, offer=offer))] == [
        "text", "text+ink", *(f"{first}{end}" for first in ("paint", "paint-large") for end in ends)
    ]  # fmt: skip


def test_a_style_that_changes_the_text(
    plain: Path, ink: Path, tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    only({"text+ink", "paint+ink"}, monkeypatch)
    client = exported(ran, tmp_path / "out", plain, "--to", "onnx", "--styles", ink)
    model = load(plain, styles={"ink": ink})
    for scale in (0, 0.5, 2):
        same(client, model, (64, 96), style="ink", style_scale=scale)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_style_and_a_control(
    runtime: str, plain: Path, ink: Path, tiny_control: Path, tmp_path: Path, ran: Ran,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    only({"text+ink", "paint+ink+pen"}, monkeypatch)
    led = ("--styles", ink, "--controls", f"pen={tiny_control}")
    client = exported(ran, tmp_path / "out", plain, "--to", runtime, *led)
    model = load(plain, styles={"ink": ink}, controls={"pen": tiny_control})
    for scale in (0.5, 2):
        asked = {"style": "ink", "style_scale": scale, "control": "pen", "control_scale": 0.7}
        same(client, model, (96, 64), LINES, **asked)


@pytest.mark.parametrize(
    ("runtime", "kind", "decoder"),
    [
        ("onnx", "sdxl", "large"),
        pytest.param("onnx", "sd21", "tiny", marks=pytest.mark.slow),
        pytest.param("openvino", "sdxl", "large", marks=pytest.mark.slow),
    ],
)
def test_every_kind(
    runtime: str, kind: str, decoder: str, tmp_path: Path, ran: Ran,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    checkpoint = build_checkpoint(tmp_path / "toy", kind=kind, large=decoder == "large")
    only({"text", "paint-large" if decoder == "large" else "paint"}, monkeypatch)
    client = exported(ran, tmp_path / "out", checkpoint, "--to", runtime)
    same(client, load(checkpoint), (64, 128), decoder=decoder)


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_in_float16(runtime: str, plain: Path, tmp_path: Path, ran: Ran) -> None:
    client = exported(ran, tmp_path / "out", plain, "--to", runtime, "--dtype", "float16")
    found = client.paint(["a red house"], [1], (64, 64))[0].astype(int)
    wanted = np.asarray(load(plain)("a red house", seed=1)).astype(int)
    assert client.index["dtype"] == "float16"
    assert np.abs(found - wanted).max() > 0 and np.square(found - wanted).mean() < 255**2 / 1000
    if runtime == "onnx":
        assert stored(client) == {"F16", "I64"}


def stored(client: Client) -> set[str]:
    """The dtypes of all weights."""
    found = set()
    for file in (client.folder / "weights").iterdir():
        with safe_open(file, "np") as tensors:
            found |= {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return found


@pytest.mark.embedded
def test_the_embedded_model(tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its text encoder and the largest graph; what its index says."""

    only({"text", "paint+anime+sketch"}, monkeypatch)
    led = ("--styles", "anime", "--controls", "sketch")
    client = exported(ran, tmp_path / "out", EMBEDDED, "--to", "onnx", *led)
    model = SDXS.load(EMBEDDED, device="cpu", dtype="float32", styles="anime", controls="sketch")
    same(client, model, (256, 128), LINES, style="anime", style_scale=0.8, control="sketch")

    index = client.index
    assert index["size"] == [256, 256] and index["factor"] == 16 and index["text_styles"] == []
    assert index["about"]["examples"] and "sketch" in index["about"]["conditions"]
    assert "cpu" not in index["about"]["facts"]
    files = {path.relative_to(client.folder).as_posix(): path.read_bytes()
             for path in client.folder.rglob("*") if path.is_file()}  # fmt: skip
    del files["sdxs.json"]
    assert index["files"] == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    for row in index["graphs"]:
        assert len(files[row["file"]]) < 300_000
        assert all(data.encode() in files[row["file"]] for data in row["weights"])
        assert b"networks" not in files[row["file"]]
    assert 25e6 < sum(map(len, files.values())) < 35e6
