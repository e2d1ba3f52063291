"""The worker's messages, with a stand-in for ONNX Runtime."""

import json
from collections.abc import Callable
from typing import Any

from tests.web_engine.names import files

WORK = """
const script = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
const answers = [];
let listen;
globalThis.addEventListener = (kind, listener) => (listen = listener);
globalThis.postMessage = (message, transferred) => answers.push({ ...message, transferred });
await import("./engine/worker.js");

const module = script(`
  export const env = { wasm: {} };
  export class Tensor { constructor(type, data) { this.data = data; } }
  const states = { data: new Float32Array(8), dims: [1, 4, 2] };
  export const InferenceSession = {
    create: async () => ({
      run: async (feeds) => ("ids" in feeds ? { states } : {
        pixels: { data: new Uint8Array(8 * 8 * 3).fill(feeds.images ? feeds.images.data[0] : 7) },
        finite: { data: [1] },
      }),
    }),
  };
`);
const tokenizers = script(`export class Tokenizer {
  added_tokens_map = new Map();
  encode = (text) => ({ ids: Array.from(text, (letter) => letter.codePointAt(0)) });
  tokenize = (text) => [...text];
}`);
const binary = "data:application/wasm,";
const runtimes = { tokenizers, wasm: { module, glue: "glue", binary } };
const model = Object.fromEntries(
  Object.entries(given.files).map(([path, text]) => [path, new Blob([text])]),
);
const drawn = ([side, shades]) => ({
  width: side,
  height: side,
  data: new Uint8ClampedArray(4 * side * side).fill(255).map(
    (white, at) => (at % 4 < 3 ? shades[(at >> 2) % side] : white),
  ),
});
for (const [id, [call, asked]] of given.calls.entries()) {
  const drawing = asked.drawing && drawn(asked.drawing);
  const opening = call === "open" ? { model, runtimes } : {};
  listen({ data: { id, call, arguments: { ...asked, drawing, ...opening } } });
}
const answered = () => answers.filter((each) => "id" in each);
while (answered().length < given.calls.length) await new Promise((done) => setTimeout(done));
const shown = ({ transferred, ...answer }) => ({ ...answer, transferred: transferred?.length });
console.log(JSON.stringify(answers.map(shown)));
"""
SIDE = 64
BLANK = [SIDE, [255] * SIDE]
LINE = [SIDE, [255] * 30 + [16] * 4 + [255] * 30]  # of ink, from above to below
FAINT = [SIDE, [255] * 30 + [254] * 4 + [255] * 30]


def answers(node: Callable[..., Any], *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    sketch = {"decoder": "tiny", "style": "", "control": "sketch", "outputs": ["pixels", "finite"],
              "inputs": ["noise", "states", "scales", "images"], "weights": ["w/unet"]}  # fmt: skip
    there = files()
    index = json.loads(there["sdxs.json"])
    index["controls"].append("sketch")
    index["graphs"].append({**sketch, "file": "paint.onnx"})
    there["sdxs.json"] = json.dumps(index)
    told: list[dict[str, Any]] = node(WORK, {"files": there, "calls": calls})
    return told


def test_without_a_model_nothing_is_painted(node: Callable[..., Any]) -> None:
    calls = [("paint", {"prompt": "a"}), ("paint", {"prompt": "a", "drawing": LINE}),
             ("cutOff", {"prompt": "a"}), ("sketch", {"drawing": LINE}), ("fly", {})]  # fmt: skip
    found = answers(node, *calls)
    assert [answer["id"] for answer in found] == [0, 1, 2, 3, 4]
    assert {answer["error"]["message"] for answer in found[:4]} == {"no model is open yet"}
    assert [answer["error"]["kind"] for answer in found] == ["input"] * 4 + ["failed"]


def test_calls_are_answered_in_their_order(node: Callable[..., Any]) -> None:
    asked = [
        ("open", {}),
        ("paint", {"prompt": "a"}),
        ("paint", {"prompt": " "}),
        ("cutOff", {"prompt": "abcdef"}),
    ]
    found = answers(node, *asked)
    assert any("progress" in each for each in found)
    opened, picture, refused, rest = (each for each in found if "id" in each)
    assert opened["result"]["backend"] == "wasm" and opened["result"]["info"]["size"] == [8, 8]
    assert picture["result"]["width"] == 8 and picture["result"]["pixels"]["0"] == 7
    assert picture["transferred"] == 1 and picture["result"]["hint"] == ""
    assert refused["error"]["kind"] == "input" and "prompt is empty" in refused["error"]["message"]
    assert rest["result"] == "cdef"


def test_a_drawing_is_followed_where_there_is_a_line(node: Callable[..., Any]) -> None:
    asked = [("paint", {"prompt": "a", "drawing": page}) for page in (BLANK, LINE, FAINT)]
    lines = ("sketch", {"drawing": LINE, "size": [16, 16]})
    nothing = ("sketch", {"drawing": FAINT})
    found = answers(node, ("open", {}), *asked, lines, nothing)
    blank, line, faint, sketch, refused = [each for each in found if "id" in each][1:]
    assert blank["result"]["pixels"]["0"] == faint["result"]["pixels"]["0"] == 7
    assert blank["result"]["followed"] is faint["result"]["followed"] is None
    assert blank["result"]["hint"] == (
        "Draw, and the picture follows your lines; this is the prompt alone."
    )
    assert faint["result"]["hint"] == (
        "There are no lines to follow in the drawing: it is blank, or they are too faint; "
        "this is the prompt alone."
    )
    assert line["result"]["hint"] == "" and line["result"]["pixels"]["0"] == 0
    assert line["result"]["followed"]["width"] == 8 and line["transferred"] == 2
    assert "drawing" in line["result"]["ms"]
    assert sketch["result"]["width"] == 16 and refused["error"]["kind"] == "nothing"
