// In the place of web/engine/worker.js: opens any folder, fetches what it lists, and paints a colour for
// each request at once.

const colour = (text) => [...text].reduce((sum, letter) => (31 * sum + letter.codePointAt(0)) >>> 0, 7);

async function open({ model }) {
  const answer = await fetch(new URL("sdxs.json", model));
  if (!answer.ok) throw Object.assign(new Error("there is no sdxs.json"), { kind: "missing" });
  const info = await answer.json();
  const files = Object.entries(info.files);
  for (const [path, { bytes }] of files) postMessage({ progress: { path, loaded: 0, total: bytes } });
  for (const [path, { bytes }] of files) {
    await (await fetch(new URL(path, model))).arrayBuffer();
    await new Promise((done) => setTimeout(done, 300));
    postMessage({ progress: { path, loaded: bytes, total: bytes } });
  }
  postMessage({ progress: { path: "", loaded: 0, total: 0 } });
  return { info, backend: "wasm", threads: self.crossOriginIsolated ? 2 : 1, note: "" };
}

function paint({ prompt, seed, style = "", styleScale = 1, drawing }) {
  if (prompt.includes("memory")) throw Object.assign(new Error("there is not enough memory for this"), { kind: "memory" });
  const [width, height] = [64, 64];
  const value = colour([prompt, seed, style, style && styleScale].join());
  const pixels = new Uint8ClampedArray(4 * width * height).map((_, at) => (at % 4 === 3 ? 255 : value >> (8 * (at % 4))));
  const followed = drawing ? { data: pixels.slice(), width, height } : null;
  return { pixels, width, height, ms: { drawing: 0, words: 1, noise: 1, paint: 5, load: 0 }, note: "", followed, hint: "" };
}

let turn = Promise.resolve();
addEventListener("message", ({ data: { id, call, arguments: given } }) => {
  turn = turn.then(async () => {
    try {
      postMessage({ id, result: await { open, paint }[call](given) });
    } catch ({ message, kind }) {
      postMessage({ id, error: { message, kind } });
    }
  });
});
