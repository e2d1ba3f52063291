"""Pictures of the browser's engine, in node, beside those of Python in float32."""

import base64
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxs.export.__main__ import main
from tests.tiny import build_checkpoint, drawing, load

LEAST = 40  # dB
PAINT = """
import { painter } from "../tests/web_engine/ort.mjs";
const engine = await painter(given.folder);
const out = [];
for (const asked of given.asked) {
  const image = asked.controlImage;
  if (image) image.data = Buffer.from(image.data, "base64");
  const { pixels, width, height } = await engine.paint(asked);
  out.push({ pixels: Buffer.from(pixels.buffer).toString("base64"), width, height });
}
console.log(JSON.stringify(out));
"""
NAMES = {  # of what Python calls otherwise
    "style_scale": "styleScale", "control_scale": "controlScale", "control_image": "controlImage",
    "to_prompt": "toPrompt", "to_seed": "toSeed",
}  # fmt: skip


def as_json(asked: dict[str, Any]) -> dict[str, Any]:
    """A request of Python as the engine takes it: large seeds in digits, pictures as bytes."""
    given = {NAMES.get(name, name): value for name, value in asked.items()}
    given |= {name: str(given[name]) for name in ("seed", "toSeed") if name in given}
    if image := given.get("controlImage"):
        data = base64.b64encode(image.tobytes()).decode()
        given["controlImage"] = {"data": data, "width": image.width, "height": image.height}
    return given


def distance(ours: dict[str, Any], theirs: Image.Image) -> float:
    """PSNR in dB of a picture of the engine."""
    assert (ours["width"], ours["height"]) == theirs.size
    pixels = np.frombuffer(base64.b64decode(ours["pixels"]), np.uint8)
    pixels = pixels.reshape(theirs.height, theirs.width, 4).astype(float)
    assert (pixels[..., 3] == 255).all()
    error = float(((pixels[..., :3] - np.asarray(theirs)) ** 2).mean())
    return 10 * math.log10(255**2 / max(error, 1e-9))


def compared(
    node: Callable[..., Any], folder: Path, model: Any, requests: Sequence[dict[str, Any]]
) -> None:
    """Each request gives the picture that Python gives, and no other request's."""
    given = {"folder": str(folder), "asked": [as_json(asked) for asked in requests]}
    pictures = [model(**asked) for asked in requests]
    for asked, ours, theirs in zip(requests, node(PAINT, given), pictures, strict=True):
        assert distance(ours, theirs) >= LEAST, asked
    assert len({picture.tobytes() for picture in pictures}) == len(requests)


def exported(checkpoint: object, folder: Path, *options: object) -> Path:
    words = [checkpoint, "--to", "onnx", "--out", folder, *options]
    assert main([str(word) for word in words]) == 0
    return folder


def test_pictures_are_pythons(tiny_style: Path, tmp_path: Path, node: Callable[..., Any]) -> None:
    checkpoint = build_checkpoint(tmp_path / "toy")
    folder = exported(checkpoint, tmp_path / "out", "--styles", tiny_style)
    ink = {"style": "ink"}
    requests: list[dict[str, Any]] = [
        {"prompt": "a red house", "seed": 2**63 - 1},
        {"prompt": "a red house", **ink},
        {"prompt": "a red house", "seed": 2, **ink, "style_scale": 0.0},
        {"prompt": "a blue tree", "seed": 1, **ink, "style_scale": 2.0},
        {"prompt": "zebra 🦊", "size": (128, 64)},
        {"prompt": "a tree", "to_prompt": "a house", "to_seed": 9, "walk": 0.3},
        {"prompt": "a tree", "to_seed": 9, "walk": 0.5, **ink},
        {"prompt": "a tree", "to_prompt": "a ball", "walk": 1.0},
    ]
    compared(node, folder, load(checkpoint, styles={"ink": tiny_style}), requests)


@pytest.mark.slow
def test_pictures_that_follow_are_pythons(
    tiny_style: Path, tiny_control: Path, tmp_path: Path, node: Callable[..., Any]
) -> None:
    checkpoint = build_checkpoint(tmp_path / "toy")
    options = ["--styles", tiny_style, "--controls", tiny_control]
    folder = exported(checkpoint, tmp_path / "out", *options)
    model = load(checkpoint, styles={"ink": tiny_style}, controls={"sketch": tiny_control})
    sketch = {"control": "sketch", "control_image": drawing()}
    both = {"style": "ink", **sketch}
    requests: list[dict[str, Any]] = [
        {"prompt": "a blue tree", **sketch},
        {"prompt": "a tree", **sketch, "control_scale": 0.0},
        {"prompt": "a ball", **both, "style_scale": 0.5, "control_scale": 1.5},
        {"prompt": "a ball", **both, "style_scale": 1.5, "control_scale": 0.5},
    ]
    compared(node, folder, model, requests)


@pytest.mark.slow
def test_pictures_of_the_sdxl_kind_are_pythons(tmp_path: Path, node: Callable[..., Any]) -> None:
    checkpoint = build_checkpoint(tmp_path / "xl", kind="sdxl", large=True)
    folder = exported(checkpoint, tmp_path / "out")
    requests = [
        {"prompt": "a red house"},
        {"prompt": "a blue tree", "seed": 5, "size": (64, 128)},
        {"prompt": "a blue tree", "seed": 5, "decoder": "large"},
    ]
    compared(node, folder, load(checkpoint), requests)


@pytest.mark.long
@pytest.mark.embedded
def test_pictures_of_the_embedded_model_are_pythons(
    tmp_path: Path, node: Callable[..., Any]
) -> None:
    options = ["--styles", "anime", "--controls", "sketch"]
    folder = exported("storybook", tmp_path / "out", *options)
    model = load("storybook", styles="anime", controls="sketch", engine="eager")
    lines = [drawing(seed, model.size) for seed in (0, 1)]
    examples = [
        "a red house at sunset", "a blue boat on the water at night", "two trees in the snow",
        "a small green cube to the left of a pink heart", "nothing that it knows 🦊",
    ]  # fmt: skip
    ways: list[dict[str, Any]] = [
        {}, {"style": "anime"}, {"control": "sketch", "control_image": lines[0]},
        {"style": "anime", "style_scale": 0.6, "control": "sketch", "control_image": lines[1]},
    ]  # fmt: skip
    requests = [
        {"prompt": examples[number % len(examples)], "seed": 1000 * number, **way}
        for number, way in enumerate(4 * ways)
    ]
    compared(node, folder, model, requests)
