// The painter for node: ONNX Runtime's WebAssembly with one thread, and the files of a folder.

import fs from "node:fs";

import { open } from "../../web/engine/painter.js";

const packages = new URL("../../web/node_modules/", import.meta.url);
const dist = new URL("onnxruntime-web/dist/", packages);

async function load() {
  const ort = await import(new URL("ort.wasm.min.mjs", dist));
  const [wasm, mjs] = ["wasm", "mjs"].map((end) => new URL(`ort-wasm-simd-threaded.${end}`, dist));
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: fs.readFileSync(wasm), wasmPaths: { mjs } });
  ort.env.logLevel = "error";
  return ort;
}

export async function painter(folder) {
  const { Tokenizer } = await import(new URL("@huggingface/tokenizers/dist/tokenizers.min.mjs", packages));
  const runtime = { Tokenizer, load, threads: 1, backends: async () => ["wasm"] };
  return open({ read: async (path) => new Uint8Array(fs.readFileSync(`${folder}/${path}`)), runtime });
}
