"""What is loaded and kept, what is wrong with a model, a GPU that fails: with stand-ins for ONNX
Runtime and the tokenizers."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web_engine.names import files

STAND_IN = """
import { open } from "./engine/painter.js";
const encoded = (text) => new TextEncoder().encode(text);
const log = [];

class Tokenizer {
  pre_tokenizer = null;
  normalizer = null;
  added_tokens_map = new Map();
  encode = (text) => ({ ids: Array.from(text, (letter) => letter.codePointAt(0)) });
}

// An ONNX Runtime whose pictures are grey, another grey for each backend; `wrong` says what fails.
const ort = (backend, wrong = {}) => ({
  Tensor: class { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } },
  InferenceSession: {
    create: async (bytes, { executionProviders, externalData }) => {
      const file = new TextDecoder().decode(bytes);
      const weights = externalData.map(({ path, data }) => path + data.length);
      log.push(`make ${file} ${executionProviders} ${weights}`);
      if (wrong.create) throw new Error(wrong.create);
      return {
        release: async () => log.push(`release ${file}`),
        run: async (feeds) => {
          log.push(`run ${file} ${Object.keys(feeds)}`);
          if (file === "text") return { states: { data: new Float32Array(8), dims: [1, 4, 2] } };
          const failed = wrong.run?.shift();
          if (failed === "throw") throw new Error("device lost");
          const pixels = { data: new Uint8Array(8 * 8 * 3).fill(backend === "webgpu" ? 1 : 2) };
          return { pixels, finite: { data: [failed === "nan" ? NaN : 1] } };
        },
      };
    },
  },
});

const told = [];
const opened = ({ files, backends = ["wasm"], wrong = {}, backend }) => open({
  read: async (path, { loaded }) => {
    if (!(path in files)) throw new Error(`no ${path}`);
    const bytes = encoded(files[path]);
    loaded?.(bytes.length);
    return bytes;
  },
  runtime: {
    Tokenizer, threads: 1, backends: async () => backends,
    load: async (name) => {
      if (wrong[name]?.load) throw new Error(wrong[name].load);
      return ort(name, wrong[name]);
    },
  },
  report: (progress) => told.push(progress),
  backend,
});

const tried = async (step) => {
  try { return await step(); } catch ({ kind, message }) { return { kind, message }; }
};
"""
PAINT = (
    STAND_IN
    + """
const painter = await opened(given);
const begun = [log.splice(0), painter.backend, painter.note];
const pictures = [];
for (const asked of given.asked) {
  const picture = await tried(() => painter.paint(asked));
  pictures.push({ ...picture, pixels: picture.pixels?.[0], log: log.splice(0) });
}
console.log(JSON.stringify({ begun, pictures, told, ended: painter.backend }));
"""
)
OPEN = STAND_IN + "console.log(JSON.stringify(await tried(() => opened(given))));"


def test_only_what_paints_a_plain_picture_is_loaded_first(node: Callable[..., Any]) -> None:
    ink = {"prompt": "ab", "style": "ink"}
    asked = [{"prompt": "ab"}, {"prompt": "ab", "seed": 5}, ink, {**ink, "styleScale": 0}]
    result = node(PAINT, {"files": files(), "asked": asked})
    begun, backend, note = result["begun"]
    assert begun == ["make text wasm w/text1", "make paint wasm w/unet2"]
    assert (backend, note) == ("wasm", "")
    logs = [picture["log"] for picture in result["pictures"]]
    paint = "run paint noise,states"
    assert logs[:2] == [["run text ids", paint], [paint]]  # its words are remembered
    assert logs[2] == ["make paint+ink wasm w/unet2,w/ink3", "run paint+ink noise,states,scales"]
    assert logs[3] == [paint]
    assert {*result["pictures"][0]["ms"]} == {"load", "words", "noise", "paint"}


def test_progress_names_every_file_before_its_bytes(node: Callable[..., Any]) -> None:
    told = node(PAINT, {"files": files(), "asked": []})["told"]
    first = ["tokenizer.json", "text.onnx", "w/text", "paint.onnx", "w/unet"]
    assert [each["path"] for each in told[:5]] == first
    assert all(each["loaded"] == 0 < each["total"] for each in told[:5])
    last = {each["path"]: each for each in told}
    assert all(last[path]["loaded"] == last[path]["total"] for path in first)
    assert told[-1] == {"path": "", "loaded": 0, "total": 0}


KEEP = (
    STAND_IN
    + """
import { Graphs } from "./engine/graphs.js";
const info = JSON.parse(given.files["sdxs.json"]);
for (const [path, facts] of Object.entries(info.files)) facts.bytes = given.weighs[path] ?? 0;
const fetch = async (paths) => new Map(paths.map((path) => [path, encoded(path.split(".")[0])]));
const graphs = new Graphs(ort("wasm"), "wasm", { info, fetch });
for (const [decoder, style] of given.asked) await graphs.session(graphs.find(decoder, style));
console.log(JSON.stringify(log.map((line) => line.split(" ").slice(0, 2).join(" "))));
"""
)


def test_few_graphs_are_kept(node: Callable[..., Any]) -> None:
    asked = [
        ["", ""],
        ["tiny", ""],
        ["tiny", "ink"],
        ["tiny", ""],
        ["tiny", "oil"],
        ["tiny", "ink"],
    ]
    weighs = {"w/text": 90_000_000, "w/unet": 40_000_000}
    made = node(KEEP, {"files": files(), "weighs": weighs, "asked": asked})
    assert made == [
        "make text", "make paint", "make paint+ink", "release paint+ink", "make paint+oil",
        "release paint", "make paint+ink",
    ]  # fmt: skip
    large = {"w/unet": 600_000_000}  # one that is larger than what is kept is alone
    made = node(KEEP, {"files": files(), "weighs": large, "asked": asked[:3]})
    assert made == ["make text", "make paint", "release paint", "make paint+ink"]


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("w/unet", "u", "damaged", "w/unet has 1 bytes and should have 2"),
        ("w/unet", "xx", "damaged", "w/unet is not the file that sdxs.json names"),
        ("sdxs.json", "<html>", "damaged", "sdxs.json is not JSON: export the model anew"),
        ("sdxs.json", '{"format": 2}', "damaged", "sdxs.json is of format 2, this page reads 1"),
        ("sdxs.json", "null", "damaged", "sdxs.json is of format undefined"),
        ("sdxs.json", '{"format": 1, "files": {}}', "damaged", "what sdxs.json says of dtype"),
        ("tokenizer.json", "[", "damaged", "tokenizer.json is not"),
    ],
)
def test_what_is_damaged_is_named(
    name: str, text: str, kind: str, said: str, node: Callable[..., Any]
) -> None:
    error = node(OPEN, {"files": files() | {name: text}})
    assert error["kind"] == kind and error["message"].startswith(said.split(" is not")[0])
    assert said in error["message"] or name == "tokenizer.json"
    assert "\n" not in error["message"]


@pytest.mark.parametrize(
    "odd",
    [
        {"about": None},
        {"about": {"title": "x"}},
        {"graphs": [None]},
        {"graphs": []},
        {"decoders": []},
        {"size": [8]},
        {"size": [0, 8]},
        {"tokenizers": [{"file": "tokenizer.json", "pad": 0, "length": 10**9}]},
        {"files": {"w/unet": None}},
        {"files": None},
        {"factor": "2"},
        {"channels": 0.5},
        {"styles": {"ink": 1}},
    ],
)
def test_an_index_that_is_none_is_named(odd: dict[str, Any], node: Callable[..., Any]) -> None:
    error = node(OPEN, {"files": files(**odd)})
    said = f"what sdxs.json says of {next(iter(odd))} cannot be read: export the model anew"
    assert error["kind"] == "damaged" and error["message"].startswith(said)


def test_a_model_for_another_runtime_is_refused(node: Callable[..., Any]) -> None:
    graph = {"file": "text.xml", "decoder": "", "style": "", "control": "", "inputs": [],
             "outputs": [], "weights": []}  # fmt: skip
    error = node(OPEN, {"files": files(graphs=[graph])})
    assert error["kind"] == "damaged" and "another runtime" in error["message"]


@pytest.mark.parametrize(
    ("create", "kind", "said"),
    [
        ("std::bad_alloc", "memory", "paint.onnx cannot be loaded: there is not enough memory"),
        ("no such\nkernel", "failed", "text.onnx cannot be loaded (no such kernel)"),
    ],
)
def test_what_the_runtime_says_is_one_line(
    create: str, kind: str, said: str, node: Callable[..., Any]
) -> None:
    error = node(OPEN, {"files": files(), "wrong": {"wasm": {"create": create}}})
    assert error["kind"] == kind
    assert error["message"].startswith(said.replace("paint.onnx", "text.onnx"))


BOTH = {"backends": ["webgpu", "wasm"]}
PLAIN = {"prompt": "ab"}


def test_a_gpu_that_works_is_tried_once_and_used(node: Callable[..., Any]) -> None:
    result = node(PAINT, {"files": files(), **BOTH, "asked": [PLAIN]})
    begun, backend, note = result["begun"]
    assert (backend, note, begun[-1]) == ("webgpu", "", "run paint noise,states")
    assert result["pictures"][0]["pixels"] == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"load": "no such file"}, "no such file"),
        ({"create": "no kernel"}, "no kernel"),
        ({"run": ["nan"]}, "numbers that are not finite"),
        ({"run": ["throw"]}, "device lost"),
    ],
)
def test_a_gpu_that_fails_at_once_gives_way(
    wrong: dict[str, Any], said: str, node: Callable[..., Any]
) -> None:
    given = {"files": files(), **BOTH, "wrong": {"webgpu": wrong}, "asked": [PLAIN]}
    result = node(PAINT, given)
    _, backend, note = result["begun"]
    assert backend == result["ended"] == "wasm" and said in note and "WebAssembly" in note
    assert result["pictures"][0]["pixels"] == 2 and result["pictures"][0]["note"] == ""
    alone = node(OPEN, {**given, "backend": "webgpu"})
    assert said in alone["message"]  # whoever asks for it alone is told


@pytest.mark.parametrize("failure", ["nan", "throw"])
def test_a_gpu_that_fails_later_gives_way(failure: str, node: Callable[..., Any]) -> None:
    wrong = {"webgpu": {"run": ["", "", failure]}}  # the trial and the first picture are fine
    given = {"files": files(), **BOTH, "wrong": wrong, "asked": [PLAIN, PLAIN, PLAIN]}
    pictures = node(PAINT, given)["pictures"]
    assert [picture["pixels"] for picture in pictures] == [1, 2, 2]
    assert [bool(picture["note"]) for picture in pictures] == [False, True, False]


def test_what_is_not_the_gpus_fault_leaves_it(node: Callable[..., Any]) -> None:
    there = files(styles=["ink", "tin"])  # tin has no graph
    there["paint+ink.onnx"] += "?"  # came otherwise than it should
    asked = [{**PLAIN, "style": "tin"}, {**PLAIN, "style": "ink"}, {**PLAIN, "style": "?"}, PLAIN]
    result = node(PAINT, {"files": there, **BOTH, "asked": asked})
    assert [picture.get("kind") for picture in result["pictures"]] == [
        "input",
        "damaged",
        "input",
        None,
    ]
    assert result["ended"] == "webgpu" and result["pictures"][-1]["pixels"] == 1


def test_numbers_that_are_not_finite_are_no_picture(node: Callable[..., Any]) -> None:
    given = {"files": files(), "wrong": {"wasm": {"run": ["nan"]}}, "asked": [PLAIN, PLAIN]}
    first, second = node(PAINT, given)["pictures"]
    assert first["kind"] == "failed" and "--dtype float32" in first["message"]
    assert second["pixels"] == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prompt": "  "}, "the prompt is empty: say what you would like to see"),
        ({"prompt": 5}, "the prompt is empty"),
        ({"prompt": "a", "toPrompt": ""}, "the to_prompt is empty"),
        ({"prompt": "a", "seed": -1}, "seed must be a whole number from 0 to 9223372036854775807"),
        ({"prompt": "a", "seed": 0.5}, "not 0.5"),
        ({"prompt": "a", "seed": "9223372036854775808"}, "not 9223372036854775808"),
        ({"prompt": "a", "style": "chalk"}, "there is no style 'chalk': there are ink, oil, wax"),
        ({"prompt": "a", "control": "sketch"}, "there is no control 'sketch': this model has none"),
        ({"prompt": "a", "styleScale": 2.5}, "style_scale must be from 0 to 2, not 2.5"),
        ({"prompt": "a", "walk": 2, "toSeed": 1}, "walk must be from 0 to 1, not 2"),
        ({"prompt": "a", "size": [10, 8]}, "size 10 x 8 cannot be drawn: each side is a multiple"),
        ({"prompt": "a", "size": [4096, 8]}, "from 4 to 2048 pixels"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    asked: dict[str, Any], said: str, node: Callable[..., Any]
) -> None:
    [refused] = node(PAINT, {"files": files(), "asked": [asked]})["pictures"]
    assert refused["kind"] == "input" and said in refused["message"]
