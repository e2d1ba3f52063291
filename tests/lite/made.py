"""An exported folder of a few sums, made at once: what it paints shows all that it is given.

For all that is not about networks; what graphs of networks paint is in test_model.py.
"""

import hashlib
import itertools
import json
from pathlib import Path

import onnx.parser
from tiny import WINDOW, tiny_tokenizer

from sdxs.tokens import PromptReader

STYLE, CONTROL = "ink", "sketch"
SIDE, FACTOR = 64, 8
WEIGHTS = {STYLE: 20.0, CONTROL: 30.0}  # of their scales
LEVELS = {"tiny": 60.0, "large": 100.0}  # of what a decoder paints of nothing
HEAD = '<ir_version: 9, opset_import: ["": 20]>\n'
TEXT = """text (int64[b, l] ids) => (float[b, l, 1] states) <int64[1] end = {2}> {
  numbers = Cast<to = 1>(ids)
  states = Unsqueeze(numbers, end)
}"""
PAINT = """paint (float[b, 4, h, w] noise, float[b, l, 1] states%s)
=> (uint8[b, y, x, 3] pixels, float[b] finite)
<int64[1] zero = {0}, int64[1] one = {1}, int64[1] three = {3}, int64[2] row = {1, 2},
 int64[3] all = {1, 2, 3}, int64[4] shape = {-1, 1, 1, 1}, float[4] up = {1.0, 1.0, 8.0, 8.0},
 float loud = {0.1}, float strength = {20.0}, float level = {%s},
 float low = {0.0}, float high = {255.0}, float[%d] weights = {%s}> {
  three_channels = Slice(noise, zero, three, one)
  large = Resize<mode = "nearest">(three_channels, , up)
  contrast = Mul(large, strength)
  bright = Add(contrast, level)
  mean = ReduceMean<keepdims = 0>(states, row)
  quiet = Mul(mean, loud)
  said = Reshape(quiet, shape)
  plain = Add(bright, said)
  %s
  clipped = Clip(led, low, high)
  whole = Cast<to = 2>(clipped)
  pixels = Transpose<perm = [0, 2, 3, 1]>(whole)
  finite = ReduceSum<keepdims = 0>(noise, all)
}"""  # fmt: skip
LED = """weighed = Mul(scales, weights)
  added = ReduceSum<keepdims = 0>(weighed, one)
  column = Reshape(added, shape)
  %s = Add(plain, column)"""
FOLLOWED = """
  light = Mul(images, strength)
  led = Add(styled, light)"""


def make(folder: Path) -> Path:
    """With a style, a control and two decoders."""
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "unet.safetensors").write_bytes(bytes(8))
    reader = PromptReader.of(tiny_tokenizer(), WINDOW)
    (folder / "tokenizer.json").write_text(reader.json, encoding="utf-8")
    graphs = [_row(folder, "text.onnx", TEXT, "", "", "", ["ids"])]
    for decoder, style, control in itertools.product(LEVELS, ("", STYLE), ("", CONTROL)):
        more = ["scales"] * bool(style or control) + ["images"] * bool(control)
        shapes = {"scales": "float[b, s]", "images": "float[b, 3, y, x]"}
        taken = "".join(f", {shapes[name]} {name}" for name in more)
        sums = "led = Identity(plain)"
        if more:
            sums = LED % "styled" + FOLLOWED if control else LED % "led"
        weights = [WEIGHTS[name] for name in (style, control) if name] or [0.0]
        numbers = ", ".join(map(str, weights))
        text = PAINT % (taken, LEVELS[decoder], len(weights), numbers, sums)
        name = "+".join(filter(None, (f"paint-{decoder}", style, control)))
        inputs = ["noise", "states", *more]
        graphs.append(_row(folder, f"{name}.onnx", text, decoder, style, control, inputs))
    files = {
        file.relative_to(folder).as_posix(): facts(file)
        for file in folder.rglob("*")
        if file.is_file()
    }
    index = {
        "format": 1, "runtime": "onnx", "checkpoint": "made", "dtype": "float32",
        "size": [SIDE, SIDE], "multiple": 16, "channels": 4, "factor": FACTOR,
        "tokenizers": [{"file": "tokenizer.json", "pad": reader.pad, "length": reader.length}],
        "decoders": [*LEVELS], "styles": [STYLE], "controls": [CONTROL], "text_styles": [],
        "graphs": graphs, "files": files,
        "about": {"words": {"things": ["house"]}, "fillers": ["a"], "near": {"hut": ["house"]}},
    }  # fmt: skip
    (folder / "sdxs.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _row(
    folder: Path, file: str, text: str, decoder: str, style: str, control: str, inputs: list[str]
) -> dict[str, object]:
    """Writes a graph, and what the index says of it."""
    model = onnx.parser.parse_model(HEAD + text)
    onnx.checker.check_model(model)
    (folder / file).write_bytes(model.SerializeToString())
    names = {"decoder": decoder, "style": style, "control": control}
    weights = [] if not decoder else ["weights/unet.safetensors"]
    return {"file": file, **names, "inputs": inputs, "weights": weights}


def facts(file: Path) -> dict[str, object]:
    """What the index says of a file."""
    content = file.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
