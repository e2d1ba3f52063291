// ONNX Runtime and the tokenizers' library, by the addresses at which they lie; and what this browser has of WebGPU,
// WebAssembly and threads.
//
// Knows nothing of models.

import { blamed, EngineError } from "./errors.js";

const MOST_THREADS = 4; // beyond it small pictures gain nothing, and telephones heat up
const UPDATE = "open this page in a current Chrome, Edge, Firefox or Safari";
// A module with one instruction of SIMD, i8x16.popcnt of a zero: does the browser take it?
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

let held = null;

// runtimes: {tokenizers: url, wasm: {module, glue, binary, bytes}, webgpu, jspi}, see painter.js for what is made of
// it. read(url, {loaded}) gives the bytes of a binary. Raises EngineError where this browser cannot paint at all.
export async function runtime(runtimes, read) {
  const lacks = (what) => new EngineError("unsupported", `${what}: ${UPDATE}`);
  if (typeof WebAssembly !== "object") throw lacks("this browser has no WebAssembly, or it is turned off");
  if (!WebAssembly.validate(SIMD)) throw lacks("this browser's WebAssembly has no SIMD");
  const threads = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  if (threads > 1) holdWorkers();
  const { Tokenizer } = await imported(runtimes.tokenizers);
  const gpu = "Suspending" in WebAssembly && runtimes.jspi ? runtimes.jspi : runtimes.webgpu;
  return {
    Tokenizer,
    threads,
    backends: async (info) => (gpu && (await hasGPU(info.dtype)) ? ["webgpu", "wasm"] : ["wasm"]),
    load: (backend, report) => loaded(backend === "webgpu" ? gpu : runtimes.wasm, threads, read, report),
  };
}

// Whether there is a GPU that computes in this dtype; one that is played by the processor is slower than WebAssembly.
async function hasGPU(dtype) {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter().catch(() => null);
  if (!adapter || adapter.info?.isFallbackAdapter) return false;
  return dtype !== "float16" || adapter.features.has("shader-f16");
}

// ONNX Runtime's threads are workers, which nothing holds until they have begun but what their own answers will
// call. Firefox (140) forgets such workers, and whoever waits for them waits forever.
function holdWorkers() {
  if (held) return;
  held = [];
  globalThis.Worker = class extends globalThis.Worker {
    constructor(...given) {
      super(...given);
      held.push(this);
    }
  };
}

async function loaded(files, threads, read, report) {
  if (!files) throw new EngineError("unsupported", "this page was built without WebGPU");
  const { bytes: total = 0 } = files;
  const told = (bytes) => report({ path: "runtime", loaded: bytes, total: Math.max(total, bytes) });
  told(0);
  const [ort, binary] = await Promise.all([imported(files.module), read(files.binary, { loaded: told })]);
  told(total || binary.length);
  const wasmBinary = await unpacked(binary);
  Object.assign(ort.env.wasm, { numThreads: threads, wasmBinary, wasmPaths: { mjs: files.glue } });
  ort.env.logLevel = "error";
  return ort;
}

async function imported(url) {
  try {
    return await import(url);
  } catch (error) {
    if (!(error instanceof TypeError)) throw blamed(error, `${url} cannot be used`);
    const remedy = "look whether you are connected, then load the page again";
    throw new EngineError("missing", `${url} cannot be loaded: ${remedy}`);
  }
}

// The bytes of a file that may be gzipped.
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
