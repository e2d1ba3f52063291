// The files of an exported model: sdxs.json, and what it names, each looked at before it is used.
//
// `read(path, {signal, loaded})` gives a file's bytes, wherever they come from; `loaded(bytes)` is told how many are
// there. Knows nothing of what the files are for.

import { EngineError } from "./errors.js";

const FORMAT = 1;
const EXPORT = "python -m sdxs.export MODEL --to onnx --out FOLDER";
const AGAIN = "load the page again, or export the model anew";
const LONGEST = 4096; // tokens of a window: CLIP's is 77

const text = (value) => typeof value === "string";
const whole = (least, most = 2 ** 31) => (value) => Number.isInteger(value) && value >= least && value <= most;
const list = (each, least = 0) => (value) => Array.isArray(value) && value.length >= least && value.every(each);
const map = (each) => (value) => typeof value === "object" && value !== null && Object.values(value).every(each);
const having = (rows) => (value) =>
  typeof value === "object" && value !== null && Object.entries(rows).every(([name, fits]) => fits(value[name]));

// What sdxs.json has, by name: docs/export.md.
const INDEX = {
  dtype: text,
  size: (value) => list(whole(1))(value) && value.length === 2,
  multiple: whole(1),
  channels: whole(1),
  factor: whole(1),
  tokenizers: list(having({ file: text, pad: whole(0), length: whole(2, LONGEST) })),
  decoders: list(text, 1),
  styles: list(text),
  controls: list(text),
  text_styles: list(text),
  graphs: list(having({ file: text, decoder: text, style: text, control: text, inputs: list(text), outputs: list(text), weights: list(text) }), 1),
  files: map(having({ bytes: whole(0, Number.MAX_SAFE_INTEGER), sha256: text })),
  about: having({ title: text, checkpoint: text, facts: list(text), examples: list(text, 1), words: map(list(text)), fillers: list(text), near: map(list(text)) }),
};

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
  const odd = Object.entries(INDEX).find(([name, fits]) => !fits(info[name]));
  if (odd) throw new EngineError("damaged", `what sdxs.json says of ${odd[0]} cannot be read: export the model anew, ${EXPORT}`);
  if (!info.graphs.every(({ file }) => file.endsWith(".onnx")))
    throw new EngineError("damaged", `the model was exported for another runtime: ${EXPORT} makes one for this page`);
  return info;
}
