// The files of an exported model: sdxs.json, and what it names, each looked at before it is used.
//
// `read(path, {signal, loaded})` gives a file's bytes, wherever they come from; `loaded(bytes)` is told how many are
// there. Knows nothing of what the files are for.

import { EngineError } from "./errors.js";

const FORMAT = 1;
const EXPORT = "python -m sdxs.export MODEL --to onnx --out FOLDER";
const AGAIN = "load the page again, or export the model anew";

export class Files {
  #read;
  #report;
  #seen = new Set(); // paths whose contents were looked at

  // report({path, loaded, total}): told of bytes.
  constructor(read, report = () => {}) {
    this.#read = read;
    this.#report = report;
  }

  // What sdxs.json says.
  async index() {
    const bytes = await this.#read("sdxs.json", {});
    this.info = checked(bytes);
    return this.info;
  }

  // The bytes of files, by path; all of them, or an error and the others are given up.
  async fetch(paths) {
    const stop = new AbortController();
    for (const path of paths) this.#report({ path, loaded: 0, total: this.#facts(path).bytes });
    try {
      const all = await Promise.all(paths.map((path) => this.#one(path, stop.signal)));
      return new Map(paths.map((path, at) => [path, all[at]]));
    } finally {
      stop.abort();
    }
  }

  async #one(path, signal) {
    const { bytes: total, sha256 } = this.#facts(path);
    const loaded = (bytes) => this.#report({ path, loaded: Math.min(bytes, total), total });
    const bytes = await this.#read(path, { signal, loaded });
    if (bytes.length !== total)
      throw new EngineError("damaged", `${path} has ${bytes.length} bytes and should have ${total}: ${AGAIN}`);
    const subtle = globalThis.crypto?.subtle; // on secure pages alone
    if (subtle && !this.#seen.has(path) && hex(await subtle.digest("SHA-256", bytes)) !== sha256)
      throw new EngineError("damaged", `${path} is not the file that sdxs.json names: ${AGAIN}`);
    this.#seen.add(path);
    loaded(total);
    return bytes;
  }

  #facts(path) {
    const facts = this.info.files[path];
    if (!facts) throw new EngineError("damaged", `sdxs.json does not list ${path}: export the model anew, ${EXPORT}`);
    return facts;
  }
}

const hex = (digest) => Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function parsed(bytes, path) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new EngineError("damaged", `${path} is not JSON: export the model anew, ${EXPORT}`);
  }
}

function checked(bytes) {
  const info = parsed(bytes, "sdxs.json");
  if (info?.format !== FORMAT)
    throw new EngineError(
      "damaged",
      `sdxs.json is of format ${info?.format}, this page reads ${FORMAT}: export with the page's own version, ${EXPORT}`,
    );
  const lists = ["tokenizers", "graphs", "size", "decoders", "styles", "controls"];
  if (!lists.every((name) => Array.isArray(info[name])) || typeof info.files !== "object")
    throw new EngineError("damaged", `sdxs.json lacks what a model needs: export it anew, ${EXPORT}`);
  if (!info.graphs.every(({ file }) => file.endsWith(".onnx")))
    throw new EngineError("damaged", `the model was exported for another runtime: ${EXPORT} makes one for this page`);
  return info;
}
