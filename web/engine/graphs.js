// The exported graphs at work in ONNX Runtime: made when they are first asked for, few of them kept.
//
// Knows nothing of prompts or pictures.

import { blamed, EngineError } from "./errors.js";

const KEPT = 100e6; // bytes of weights as they lie in files; a graph holds up to three times as many

export class Graphs {
  #ort;
  #provider;
  #files;
  #sessions = new Map(); // file -> session, the last used at the end

  // ort: the module of ONNX Runtime, set up; provider: "wasm" or "webgpu"; files: of the model.
  constructor(ort, provider, files) {
    this.#ort = ort;
    this.#provider = provider;
    this.#files = files;
  }

  // The row of sdxs.json for these; "" is none, and no decoder at all the text encoders.
  find(decoder, style = "", control = "") {
    const { graphs } = this.#files.info;
    const row = graphs.find((each) => each.decoder === decoder && each.style === style && each.control === control);
    if (row) return row;
    const what = [decoder, style, control].filter(Boolean).join(", ") || "the text encoder";
    throw new EngineError("input", `the model was exported without a graph for ${what} together: export it with these`);
  }

  // Outputs by name, of inputs {name: {type, data, dims}}. Makes the graph where it is not there; `bytes`: its files,
  // by path, where they are at hand.
  async run(row, inputs, bytes) {
    const session = await this.session(row, bytes);
    const feeds = Object.fromEntries(
      row.inputs.map((name) => [name, new this.#ort.Tensor(inputs[name].type, inputs[name].data, inputs[name].dims)]),
    );
    try {
      return await session.run(feeds);
    } catch (error) {
      throw blamed(error, "painting failed");
    }
  }

  async session(row, bytes) {
    let session = this.#sessions.get(row.file);
    if (session) this.#sessions.delete(row.file);
    else session = await this.#made(row, bytes);
    this.#sessions.set(row.file, session);
    return session;
  }

  async release() {
    for (const session of this.#sessions.values()) await session.release();
    this.#sessions.clear();
  }

  async #made(row, bytes) {
    const files = bytes ?? (await this.#files.fetch([row.file, ...row.weights]));
    await this.#forget(row);
    const externalData = row.weights.map((path) => ({ path, data: files.get(path) }));
    const options = { executionProviders: [this.#provider], externalData, logSeverityLevel: 3 };
    try {
      return await this.#ort.InferenceSession.create(files.get(row.file), options);
    } catch (error) {
      throw blamed(error, `${row.file} cannot be loaded`);
    }
  }

  // Lets go of graphs that were not used for longest until the new one finds room; of the text encoder never.
  async #forget(row) {
    const { graphs, files } = this.#files.info;
    const weight = ({ weights }) => weights.reduce((sum, path) => sum + files[path].bytes, 0);
    const sizes = new Map(graphs.map((each) => [each.file, weight(each)]));
    const paints = new Set(graphs.filter((each) => each.decoder).map((each) => each.file));
    const held = [...this.#sessions.keys()].filter((file) => paints.has(file));
    let sum = held.reduce((total, file) => total + sizes.get(file), 0);
    for (const file of held) {
      if (sum + sizes.get(row.file) <= KEPT) return;
      sum -= sizes.get(file);
      await this.#sessions.get(file).release();
      this.#sessions.delete(file);
    }
  }
}
