"""Where files and ONNX Runtime come from, and what a browser lacks."""

from collections.abc import Callable
from typing import Any

import pytest

READ = """
import { fromAddress, fromFiles } from "./engine/readers.js";
const asked = [];
globalThis.fetch = async (url) => {
  asked.push(url);
  if (url.endsWith("/offline")) throw new TypeError("Failed to fetch");
  if (url.endsWith("/gone")) return new Response("", { status: 404, statusText: "Not Found" });
  let parts = 3;
  const pull = (body) => {
    if (url.endsWith("/broken") && parts < 3) return body.error(new TypeError("network error"));
    parts-- ? body.enqueue(new Uint8Array([1, 2])) : body.close();
  };
  const headers = url.endsWith("/short") ? { "Content-Length": "6" } : {};
  return new Response(new ReadableStream({ pull }), { headers });
};
const files = { "w/a": new Blob(["abc"]) };
const readers = { address: fromAddress("https://host/model/"), files: fromFiles(files) };
const out = [];
for (const [from, path] of given) {
  const told = [];
  try {
    const bytes = await readers[from](path, { loaded: (bytes) => told.push(bytes) });
    out.push({ bytes: [...bytes], told });
  } catch ({ kind, message }) {
    out.push({ kind, message });
  }
}
console.log(JSON.stringify({ out, asked }));
"""
BROWSER = """
import zlib from "node:zlib";
const script = (text) => `data:text/javascript,${encodeURIComponent(text)}`;
const files = (name) => ({
  module: script(`export const env = { wasm: {} }; export const name = "${name}";`),
  glue: `https://host/${name}.mjs`,
  binary: `https://host/${name}.wasm`,
});
const has = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true });
const info = { isFallbackAdapter: given.played };
const adapter = { info, features: new Set(given.features ?? []) };
has("navigator", {
  hardwareConcurrency: given.cores,
  gpu: given.features && { requestAdapter: async () => (given.refused ? null : adapter) },
});
has("crossOriginIsolated", given.isolated);
globalThis.Worker = class {};
if (given.without === "WebAssembly") has("WebAssembly", undefined);
if (given.without === "SIMD") WebAssembly.validate = () => false;
if (given.without === "JSPI") delete WebAssembly.Suspending;
if (given.jspi) WebAssembly.Suspending = class {};
const { runtime } = await import("./engine/runtime.js");
const runtimes = {
  tokenizers: given.lost ?? script("export class Tokenizer {}"),
  wasm: files("wasm"),
  webgpu: files("webgpu"),
  jspi: files("jspi"),
};
const told = [];
const packed = zlib.gzipSync(Buffer.from("binary"));
try {
  const read = async (url, { loaded }) => {
    loaded(3);
    return new Uint8Array(given.plain ? Buffer.from("binary") : packed);
  };
  const { Tokenizer, threads, backends, load } = await runtime(runtimes, read);
  const names = await backends({ dtype: given.dtype ?? "float32" });
  const { name, env } = await load(names[0], (progress) => told.push(progress));
  const { wasmBinary, ...set } = env.wasm;
  const binary = Buffer.from(wasmBinary).toString();
  console.log(JSON.stringify({ made: Tokenizer.name, threads, names, name, set, binary, told }));
} catch ({ kind, message }) {
  console.log(JSON.stringify({ kind, message }));
}
"""


def test_files_are_read_by_address(node: Callable[..., Any]) -> None:
    asked = [
        ["address", path] for path in ("paint+a b#c.onnx", "w/short", "gone", "offline", "broken")
    ]
    result = node(READ, asked)
    assert result["asked"][:2] == [
        "https://host/model/paint+a%20b%23c.onnx", "https://host/model/w/short",
    ]  # fmt: skip
    whole = {"bytes": [1, 2] * 3, "told": [2, 4, 6]}
    assert result["out"][:2] == [whole, whole]
    gone, offline, broken = result["out"][2:]
    assert {each["kind"] for each in (gone, offline, broken)} == {"missing"}
    assert gone["message"] == (
        "there is no gone: https://host/model/gone was answered with 404 Not Found"
    )
    assert offline["message"].startswith("offline cannot be loaded: look whether you are connected")
    assert broken["message"].startswith("broken came only in part")


def test_files_that_were_dropped_are_read(node: Callable[..., Any]) -> None:
    there, missing = node(READ, [["files", "w/a"], ["files", "sdxs.json"]])["out"]
    assert there == {"bytes": [97, 98, 99], "told": [3]}
    assert missing["kind"] == "missing" and "python -m sdxs.export" in missing["message"]


def test_onnx_runtime_is_unpacked_and_set_up(node: Callable[..., Any]) -> None:
    made = node(BROWSER, {"cores": 16, "isolated": True})
    assert made["made"] == "Tokenizer" and made["names"] == ["wasm"] and made["name"] == "wasm"
    assert made["binary"] == "binary" and made["threads"] == 4
    assert made["set"] == {"numThreads": 4, "wasmPaths": {"mjs": "https://host/wasm.mjs"}}
    assert [each["loaded"] for each in made["told"]][:2] == [0, 3]
    assert {each["path"] for each in made["told"]} == {"runtime"}
    plain = node(BROWSER, {"cores": 2, "isolated": False, "plain": True})
    assert plain["binary"] == "binary" and plain["threads"] == 1


@pytest.mark.parametrize(
    ("browser", "names", "name"),
    [
        ({"features": []}, ["webgpu", "wasm"], "webgpu"),
        ({"features": [], "jspi": True}, ["webgpu", "wasm"], "jspi"),
        ({"features": [], "dtype": "float16"}, ["wasm"], "wasm"),
        ({"features": ["shader-f16"], "dtype": "float16"}, ["webgpu", "wasm"], "webgpu"),
        ({"features": [], "played": True}, ["wasm"], "wasm"),
        ({"features": [], "refused": True}, ["wasm"], "wasm"),
    ],
)
def test_a_gpu_is_taken_where_it_can_do_it(
    browser: dict[str, Any], names: list[str], name: str, node: Callable[..., Any]
) -> None:
    made = node(BROWSER, {"without": "JSPI", **browser})
    assert (made["names"], made["name"]) == (names, name)


@pytest.mark.parametrize(
    ("browser", "kind", "said"),
    [
        ({"without": "WebAssembly"}, "unsupported", "this browser has no WebAssembly"),
        ({"without": "SIMD"}, "unsupported", "this browser's WebAssembly has no SIMD"),
        ({"lost": "data:text/javascript,throw new TypeError('x')"}, "missing", "cannot be loaded"),
    ],
)
def test_what_a_browser_lacks_is_said(
    browser: dict[str, Any], kind: str, said: str, node: Callable[..., Any]
) -> None:
    refused = node(BROWSER, browser)
    assert refused["kind"] == kind and said in refused["message"] and ":" in refused["message"]
