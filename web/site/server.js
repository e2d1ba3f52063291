// What answers a page's scripts, in the place of a server: class Answer of sdxs/page/answers.py, made here.
//
// One picture is in the making at a time; a strip of seeds lets every other request go before, and goes
// when something else is asked for. Nothing here throws: what is wrong is said in a note.

import { keepsake, marked, parameters } from "./labels.js";
import { Mistake, arguments_, checked, without } from "./requests.js";
import { png } from "./png.js";
import { read } from "./reading.js";

const SEEDS = 8n;
const QUALITY = 0.9; // of a JPEG
const EMPTIED = "There is no prompt: this is still the picture before. Type a new one.";
const ALONE = "Draw, and the picture follows your lines; this is the prompt alone.";

export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

const urlOf = (blob) =>
  new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });

function sheet(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

// The pixels of a data URL, ImageData, on white.
async function pixelsOf(url) {
  const picture = await createImageBitmap(await (await fetch(url)).blob());
  const [, context] = sheet(picture.width, picture.height);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, picture.width, picture.height);
  context.drawImage(picture, 0, 0);
  picture.close();
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height);
}

async function jpeg({ data, width, height }, said, xmp) {
  const [canvas, context] = sheet(width, height);
  context.putImageData(new ImageData(data, width, height), 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  return new Blob([marked(new Uint8Array(await blob.arrayBuffer()), said, xmp)], { type: "image/jpeg" });
}

export function fileName(prompt, seed) {
  const words = prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60).replace(/^-+|-+$/g, "");
  return `${words || "picture"}-${seed}.png`;
}

// ready: comes to `call(name, arguments)` of the model, or throws why there is none. rows: of the page's
// options; facts: {software, xmp}, what files say.
export function makeServer(ready, rows, about, { software, xmp }) {
  let turn = Promise.resolve(); // of whoever came last
  let asked = 0; // counts what a strip gives way to
  const inTurn = (act) => (turn = turn.then(act, act));

  // {pixels, given, ms, drawing, hint, note, followed} of a request that is checked.
  async function painted(given) {
    const begun = performance.now();
    const drawing = given.drawing ? await pixelsOf(given.drawing) : null;
    const canvas = rows.some(({ field }) => field === "drawing");
    if (!drawing) given = without("drawing", given, rows);
    else if (!about.conditions.includes("sketch")) throw new Mistake("this model has no control for drawings: clear the canvas");
    const read = performance.now() - begun;
    const call = await ready;
    const made = await call("paint", arguments_(given, rows, about, drawing));
    if (made.hint) given = without("drawing", given, rows);
    else if (drawing) given = { ...given, control: "sketch", condition: "sketch" };
    const { pixels: data, width, height, followed } = made;
    const { drawing: sketched = 0, ...ms } = made.ms;
    const model = Object.values(ms).reduce((sum, part) => sum + part, 0);
    return {
      pixels: { data, width, height }, given, followed, drawing: made.hint ? null : drawing,
      hint: made.hint || (canvas && !drawing ? ALONE : ""), note: made.note,
      ms: { drawing: read + sketched, model },
    };
  }

  const said = ({ given, pixels: { width, height } }) => parameters(given, rows, about, [width, height], software);

  // A live picture: what paint answers, and a strip of seeds.
  async function live(given) {
    const start = performance.now();
    const made = await painted(given);
    const encoding = performance.now();
    const picture = await urlOf(await jpeg(made.pixels, said(made), xmp));
    return { ...made, picture, start, ms: { ...made.ms, encoding: performance.now() - encoding } };
  }

  async function paint(request) {
    if (!String(request.prompt ?? "").trim()) return { note: EMPTIED, kind: "hint" };
    const begun = performance.now();
    if (request.final !== true) asked += 1;
    try {
      const given = checked(rows, about, request);
      await ready;
      return await inTurn(async () => {
        const made = await live(given);
        const answer = { picture: made.picture, note: made.note || made.hint, kind: made.note ? "warning" : "hint" };
        if (made.followed) answer.control = await urlOf(new Blob([await png(made.followed)], { type: "image/png" }));
        const stages = { waiting: made.start - begun, ...made.ms };
        if (given.compare) {
          const plain = await live(without("style", given, rows));
          answer.plain = plain.picture;
          for (const [name, ms] of Object.entries(plain.ms)) stages[name] += ms;
        }
        return { ...answer, stages, ms: performance.now() - made.start };
      });
    } catch (error) {
      return mishap(error);
    }
  }

  async function variety(request) {
    const mine = asked;
    const pictures = {};
    try {
      const given = checked(rows, about, { ...request, final: false, compare: false });
      const first = (BigInt(given.seed) / SEEDS) * SEEDS;
      for (let seed = first; seed < first + SEEDS; seed += 1n) {
        if (mine !== asked) return {}; // its visitor asks for something else
        const { picture } = await inTurn(() => live({ ...given, seed: String(seed) }));
        pictures[seed] = picture;
      }
      return { pictures };
    } catch (error) {
      return mishap(error);
    }
  }

  async function download(request) {
    try {
      const given = checked(rows, about, { ...request, compare: false });
      const made = await inTurn(() => painted(given));
      const file = await keepsake(made.pixels, said(made), xmp, /^data:image\/png/.test(given.drawing ?? "") ? made.drawing : null);
      return { file: await urlOf(new Blob([file], { type: "image/png" })), name: fileName(given.prompt, given.seed) };
    } catch (error) {
      return mishap(error);
    }
  }

  return { paint, variety, download, place: async () => ({}), read: (request) => read(request, rows, about) };
}

// What a visitor is told of an error.
export function mishap(error) {
  const ours = error instanceof Mistake || error.kind;
  if (!ours) console.error(error);
  return { note: sentence(ours ? error.message : "This did not work; reload the page"), kind: "error" };
}
