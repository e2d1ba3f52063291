// From a request to a picture, in the browser: prompts to ids to embeddings, a seed to noise, both to pixels.
//
// `open` gives a `Painter` of an exported model (sdxs.json and what it names). Where its files and ONNX Runtime come
// from is the caller's business. Knows nothing of pages, workers or the network.

import { EngineError } from "./errors.js";
import { Files, parsed } from "./files.js";
import { Graphs } from "./graphs.js";
import { noise } from "./noise.js";
import { checked } from "./request.js";
import { cutOff, PromptReader } from "./tokens.js";
import { blend, slerp } from "./walk.js";

const KEPT = 64; // prompts whose embeddings are remembered
const NOT_THE_GPU = ["input", "missing", "damaged"]; // kinds of errors that another backend would meet, too

// read(path, {signal, loaded}): a file's bytes, see files.js. report({path, loaded, total}): told of what is read; of
// path "" when all is there and graphs are made. backend: "auto", "wasm" or "webgpu". runtime:
// {Tokenizer, backends(info), load(backend, report), threads}: the tokenizers' class, which backends to try in order,
// and ONNX Runtime set up for one.
export async function open({ read, runtime, report, backend = "auto" }) {
  const files = new Files(read, report);
  const info = await files.index();
  const backends = backend === "auto" ? await runtime.backends(info) : [backend];
  const painter = new Painter(files, runtime, report);
  await painter.begin(backends);
  return painter;
}

class Painter {
  #files;
  #runtime;
  #report;
  #graphs;
  #readers;
  #words = new Map(); // what is read -> embeddings, the last used at the end
  #turn = Promise.resolve(); // ends with what is under way

  constructor(files, runtime, report = () => {}) {
    this.#files = files;
    this.#runtime = runtime;
    this.#report = report;
    this.info = files.info;
    this.threads = runtime.threads;
    this.backend = "";
    this.note = ""; // why not the first backend
  }

  // Loads what paints a plain picture, with the first backend that does.
  async begin(backends) {
    const { tokenizers, decoders, graphs } = this.info;
    const first = ["", decoders[0]]; // the text encoders, and a decoder
    const plain = graphs.filter(({ decoder, style, control }) => first.includes(decoder) && !style && !control);
    const paths = [...tokenizers.map(({ file }) => file), ...plain.flatMap(({ file, weights }) => [file, ...weights])];
    const reading = this.#files.fetch([...new Set(paths)]);
    reading.catch(() => {}); // it is awaited below
    for (const [at, backend] of backends.entries()) {
      try {
        await this.#start(backend, plain, reading);
        return;
      } catch (error) {
        if (at === backends.length - 1 || !(await settled(reading))) throw error;
        this.#fell(backend, error);
      }
    }
  }

  async #start(backend, plain, reading) {
    const ort = await this.#runtime.load(backend, this.#report);
    const bytes = await reading;
    this.#readers ??= this.info.tokenizers.map(
      (each) => new PromptReader(this.#runtime.Tokenizer, parsed(bytes.get(each.file), each.file), each),
    );
    this.#report({ path: "", loaded: 0, total: 0 });
    this.#graphs = new Graphs(ort, backend, this.#files);
    this.backend = backend;
    for (const row of plain) await this.#graphs.session(row, bytes);
    if (backend !== "webgpu") return;
    await this.#once(checked(this.info, { prompt: "a" }), null); // shaders are made, numbers looked at
  }

  // The picture of a request, see request.js, with a control's image in controlImage {data, width, height}: {pixels
  // (RGBA), width, height, ms by stage, note}. One after the other, in the order of the calls.
  paint(asked) {
    const painted = this.#turn.then(() => this.#painted(asked));
    this.#turn = painted.catch(() => {});
    return painted;
  }

  // The end of the prompt that does not fit into the text encoder's window; "" if all does.
  cutOff(prompt) {
    return cutOff(this.#readers, prompt);
  }

  async #painted(asked) {
    const request = checked(this.info, asked);
    const image = request.control ? controlled(asked.controlImage, request.size) : null;
    const before = this.note;
    let picture;
    try {
      picture = await this.#once(request, image);
    } catch (error) {
      if (this.backend !== "webgpu" || NOT_THE_GPU.includes(error.kind)) throw error;
      this.#fell("webgpu", error);
      await this.#graphs.release().catch(() => {}); // the device may be gone
      this.#words.clear();
      await this.begin(["wasm"]);
      picture = await this.#once(request, image);
    }
    return { ...picture, note: this.note === before ? "" : this.note };
  }

  #fell(backend, error) {
    const name = backend === "webgpu" ? "WebGPU" : backend;
    this.note = `${name} did not work here, WebAssembly paints instead: ${error.message}`;
  }

  async #once(request, image) {
    const { size: [width, height], decoder, style, control } = request;
    const ms = { load: 0, words: 0, noise: 0, paint: 0 };
    const timed = async (stage, make) => {
      const start = performance.now();
      const made = await make();
      ms[stage] += performance.now() - start;
      return made;
    };
    const row = this.#graphs.find(decoder, style, control);
    await timed("load", () => this.#graphs.session(row));
    const states = await timed("words", () => this.#said(request));
    const unit = await timed("noise", () => this.#noise(request));
    const scales = [...(style ? [request.styleScale] : []), ...(control ? [request.controlScale] : [])];
    const { channels, factor } = this.info;
    const inputs = {
      ...states,
      noise: float32(unit, [1, channels, height / factor, width / factor]),
      time_ids: float32([height, width, 0, 0, height, width], [1, 6]),
      scales: float32(scales, [1, scales.length]),
      images: control && float32(image, [1, 3, height, width]),
    };
    const { pixels, finite } = await timed("paint", () => this.#graphs.run(row, inputs));
    if (!Number.isFinite(finite.data[0]))
      throw new EngineError("failed", "the model gives numbers that are not finite: export it with --dtype float32");
    return { pixels: opaque(pixels.data), width, height, ms };
  }

  // Unit normal noise (C, h, w) of the request's seed, or on its way to that of another.
  #noise({ seed, toSeed, walk, size: [width, height] }) {
    const { channels, factor } = this.info;
    const of = (which) => noise(which, (channels * width * height) / factor ** 2);
    return walk && toSeed !== seed ? slerp(of(seed), of(toSeed), walk) : of(seed);
  }

  // Embeddings of the request's prompt, or on their way to those of another: inputs by name.
  async #said({ prompt, toPrompt, walk, style, styleScale }) {
    const start = await this.#embedded(prompt, style, styleScale);
    if (!walk || toPrompt === prompt) return start;
    const end = await this.#embedded(toPrompt, style, styleScale);
    return Object.fromEntries(
      Object.entries(start).map(([name, { data, dims }]) => [name, float32(blend(data, end[name].data, walk), dims)]),
    );
  }

  async #embedded(prompt, style, styleScale) {
    const heard = this.info.text_styles.includes(style) ? style : "";
    const ids = this.#readers.map((reader) => reader.ids(prompt));
    const key = JSON.stringify([ids, heard, heard && styleScale]);
    const known = this.#words.get(key);
    if (known) this.#words.delete(key);
    const words = known ?? (await this.#encoded(ids, heard, styleScale));
    this.#words.set(key, words);
    if (this.#words.size > KEPT) this.#words.delete(this.#words.keys().next().value);
    return words;
  }

  async #encoded(ids, style, scale) {
    const row = this.#graphs.find("", style);
    const inputs = { scales: float32([scale], [1, 1]) };
    for (const [at, of] of ids.entries())
      inputs[at ? `ids_${at + 1}` : "ids"] = int64(BigInt64Array.from(of, BigInt), [1, of.length]);
    const outputs = await this.#graphs.run(row, inputs);
    return Object.fromEntries(
      row.outputs.map((name) => [name, float32(outputs[name].data.slice(), outputs[name].dims)]),
    );
  }
}

const int64 = (data, dims) => ({ type: "int64", data, dims });

const float32 = (numbers, dims) => {
  const data = numbers instanceof Float32Array ? numbers : new Float32Array(numbers);
  return { type: "float32", data, dims };
};

const settled = (promise) => promise.then(() => true, () => false);

// RGB as RGBA, as canvases take it.
function opaque(rgb) {
  const out = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    out[to] = rgb[from];
    out[to + 1] = rgb[from + 1];
    out[to + 2] = rgb[from + 2];
  }
  return out;
}

// A control image of one, three or four channels as numbers (3, H, W) in [0, 1].
function controlled(image, [width, height]) {
  if (!image) throw new EngineError("input", "a control needs a picture to follow: give controlImage");
  if (image.width !== width || image.height !== height)
    throw new EngineError(
      "input",
      `the control image has ${image.width} x ${image.height} pixels, the picture ${width} x ${height}: make them equal`,
    );
  const count = width * height;
  const channels = image.data.length / count;
  const out = new Float32Array(3 * count);
  for (let channel = 0; channel < 3; channel++)
    for (let at = 0; at < count; at++)
      out[channel * count + at] = image.data[at * channels + (channels === 1 ? 0 : channel)] / 255;
  return out;
}
