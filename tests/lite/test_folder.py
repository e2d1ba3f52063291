"""What is found and read of exported folders; each mistake is one line with its remedy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdxs import CheckpointError, InputError, SDXSError, sources
from sdxs.lite.model import SDXS
from tests.lite.made import facts

TORCH = r"pip install 'sdxs\[torch\]'"
EXPORT = "python -m sdxs.export"


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "mine")


def told(folder: Path, **changed: Any) -> None:
    index = folder / "sdxs.json"
    index.write_text(json.dumps(json.loads(index.read_text("utf-8")) | changed), "utf-8")


def lost(folder: Path) -> None:
    next(folder.glob("weights/*.safetensors")).unlink()


def cut(folder: Path) -> None:
    file = next(folder.glob("weights/*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])


def other_weights(folder: Path) -> None:
    file = next(folder.glob("weights/*.safetensors"))
    file.write_bytes(bytes(file.stat().st_size - 1) + b"1")


def no_onnx(folder: Path) -> None:
    file = folder / "text.onnx"
    file.write_bytes(bytes(file.stat().st_size))
    files = json.loads((folder / "sdxs.json").read_text("utf-8"))["files"]
    told(folder, files=files | {"text.onnx": facts(file)})


def mixed(folder: Path) -> None:
    shutil.copy(folder / "text.onnx", folder / "paint-tiny.onnx")
    files = json.loads((folder / "sdxs.json").read_text("utf-8"))["files"]
    told(folder, files=files | {"paint-tiny.onnx": files["text.onnx"]})


def no_graph(folder: Path) -> None:
    told(folder, graphs=json.loads((folder / "sdxs.json").read_text("utf-8"))["graphs"][:1])


def outside(folder: Path) -> None:
    tokenizers = json.loads((folder / "sdxs.json").read_text("utf-8"))["tokenizers"]
    told(folder, tokenizers=[{**tokenizers[0], "file": "../../etc/passwd"}])


def endless(folder: Path) -> None:
    tokenizers = json.loads((folder / "sdxs.json").read_text("utf-8"))["tokenizers"]
    told(folder, tokenizers=[{**tokenizers[0], "length": 10**9}])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no JSON": (lambda folder: (folder / "sdxs.json").write_text("{"), "read .JSONDecode"),
    "no object": (lambda folder: (folder / "sdxs.json").write_text("[]"), f"again with {EXPORT}"),
    "another format": (lambda folder: told(folder, format=2), "of format 2, this version reads 1"),
    "another runtime": (lambda folder: told(folder, runtime="openvino"), "--to onnx"),
    "no size": (lambda folder: told(folder, size=None), f"again with {EXPORT}"),
    "a file is lost": (lost, "is missing: copy or export"),
    "a file is cut": (cut, "is not whole: copy or export"),
    "another file": (other_weights, "unet.safetensors is damaged: copy or export"),
    "no ONNX": (no_onnx, "text.onnx cannot be loaded"),
    "a graph of another model": (mixed, "paint-tiny.onnx cannot be run .* copy or export"),
    "a size of none": (lambda folder: told(folder, size=[60, 60]), "cannot be drawn"),
    "no decoder": (lambda folder: told(folder, decoders=[]), "no decoder"),
    "no graph": (no_graph, "no graph was exported for tiny: python -m sdxs.export makes"),
    "a file elsewhere": (outside, "does not lie in the folder"),
    "a window of a billion": (endless, "1000000000 tokens"),
}  # fmt: skip


@pytest.mark.parametrize(("breaks", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_damaged(breaks: Any, said: str, copied: Path) -> None:
    breaks(copied)
    with pytest.raises(CheckpointError, match=said) as caught:
        SDXS.load(copied, engine="lite")("tree")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"device": "cuda"}, InputError, f"device 'cuda' needs PyTorch: {TORCH}; here it is 'cpu'"),
        ({"dtype": "float16"}, InputError, f"dtype 'float16' needs PyTorch: {TORCH}"),
        ({"engine": "openvino"}, InputError, f"engine 'openvino' needs PyTorch: {TORCH}"),
        ({"engine": "auto"}, InputError, "engine 'eager' needs PyTorch"),  # as the tests have it
        ({"styles": "inc"}, CheckpointError, f"did you mean ink. it has ink. {EXPORT} … --styles"),
        ({"controls": {"a": "b"}}, CheckpointError, "no control 'b' in the exported folder"),
        ({"styles": 3}, InputError, "styles must be a name"),
        ({"safety": True}, CheckpointError, f"no safety checker for .* without PyTorch: {TORCH}"),
        ({"safety": "yes"}, InputError, "safety must be"),
        ({"checkpoint": 3}, InputError, "checkpoint must be"),
        ({"checkpoint": "storibook"}, CheckpointError, "been exported to .*make onnx"),
        ({"checkpoint": "IDKiro/sdxs-512-0.9"}, CheckpointError, f"{EXPORT} IDKiro/.* or {TORCH}"),
        ({"checkpoint": "tests"}, CheckpointError, "not been exported"),
        ({"checkpoint": "./tests"}, CheckpointError, "holds no sdxs.json"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded(asked: Any, kind: Any, said: str, copied: Path) -> None:
    with pytest.raises(kind, match=said) as caught:
        SDXS.load(**{"checkpoint": copied, "engine": "lite", **asked})
    assert "\n" not in str(caught.value)


def test_dtype_and_device_may_be_said(copied: Path) -> None:
    model = SDXS.load(copied, device="cpu", dtype="float32", engine="lite", styles={"a": "ink"})
    assert model.styles == ("a",) and model.controls == () and model.safety == "missing"
    plain, styled = model(["tree"] * 2, style=[None, "a"])
    assert plain.tobytes() != styled.tobytes()
    with pytest.raises(InputError, match="loaded: a"):
        model("tree", style="ink")


def test_where_names_lie(
    folder: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "OWN_WEIGHTS", tmp_path / "weights")
    monkeypatch.setenv("SDXS_ENGINE", "lite")
    with pytest.raises(CheckpointError, match="storybook has not been exported"):
        SDXS.load()
    monkeypatch.setenv("SDXS_WEIGHTS", str(folder.parents[1]))
    with pytest.raises(CheckpointError, match="did you mean storybook"):
        SDXS.load("storybok")
    model = SDXS.load()
    assert (
        model.source.name == model.checkpoint == "storybook"
        and "light package" in model.source.reason
    )
    assert model.safety == "needless" and SDXS.load("storybook", safety=True).source.reason == ""
    assert SDXS.load(folder).source.kind == "named"
    monkeypatch.setenv("SDXS_CHECKPOINT", str(copied))
    model = SDXS.load()
    assert model.source.folder == copied and "SDXS_CHECKPOINT" in model.source.reason
    assert model.safety == "missing"  # any other is not known to be harmless


def test_without_the_runtime_both_remedies_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(SDXSError, match=r"sdxs\[torch\].*sdxs\[lite\]"):
        SDXS.load()
