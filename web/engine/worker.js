// The engine in a worker of its own, so that the page never waits: messages in, messages out.
//
// {id, call, arguments} is answered by {id, result} or {id, error: {message, kind}}; {progress: {path, loaded, total}}
// comes in between. Calls are carried out in their order. Which request is the newest is the page's business.

import { blamed, EngineError, oneLine } from "./errors.js";
import { open } from "./painter.js";
import { fetched, fromAddress, fromFiles } from "./readers.js";
import { runtime } from "./runtime.js";
import { fromDrawing, isBlank } from "./sketch.js";

const ALONE = "Draw, and the picture follows your lines; this is the prompt alone.";

let painter = null;

const CALLS = {
  // {model: address or {path: Blob}, runtimes, backend} -> {info, backend, threads, note}
  async open({ model, runtimes, backend }) {
    const read = typeof model === "string" ? fromAddress(model) : fromFiles(model);
    const report = (progress) => postMessage({ progress });
    painter = await open({ read, runtime: await runtime(runtimes, fetched), report, backend });
    const { info, threads, note } = painter;
    return { info, backend: painter.backend, threads, note };
  },
  // What painter.js takes, or `drawing` (RGBA) in the place of a control's image -> its picture, `followed` (RGBA) and
  // `hint`, why a drawing was not followed
  async paint({ drawing, ...asked }) {
    if (!drawing) return { hint: "", followed: null, ...(await opened().paint(asked)) };
    const start = performance.now();
    const { followed, hint } = led(drawing, asked.size ?? opened().info.size);
    const taken = performance.now() - start;
    const control = followed ? asked.control || "sketch" : "";
    const picture = await opened().paint({ ...asked, control, controlImage: followed });
    return { ...picture, ms: { drawing: taken, ...picture.ms }, followed, hint };
  },
  // {drawing, size, polarity} -> the control image, RGBA
  sketch: ({ drawing, size, polarity }) => fromDrawing(drawing, size ?? opened().info.size, polarity),
  // {prompt} -> the end of it that does not fit
  cutOff: ({ prompt }) => opened().cutOff(prompt),
};

function opened() {
  if (!painter) throw new EngineError("input", "no model is open yet");
  return painter;
}

function led(drawing, size) {
  if (isBlank(drawing)) return { followed: null, hint: ALONE };
  try {
    return { followed: fromDrawing(drawing, size), hint: "" };
  } catch (error) {
    if (error.kind !== "nothing") throw error;
    return { followed: null, hint: `${error.message[0].toUpperCase()}${error.message.slice(1)}; this is the prompt alone.` };
  }
}

const buffers = (result) => [result?.pixels, result?.followed?.data, result?.data].filter(Boolean).map((data) => data.buffer);

let turn = Promise.resolve();

addEventListener("message", ({ data: { id, call, arguments: asked } }) => {
  turn = turn.then(async () => {
    try {
      const result = await CALLS[call](asked ?? {});
      postMessage({ id, result }, buffers(result));
    } catch (error) {
      const { kind, message } = blamed(error, "something went wrong");
      postMessage({ id, error: { kind, message: oneLine(message, 300) } });
    }
  });
});
