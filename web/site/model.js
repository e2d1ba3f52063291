// The model in its worker: calls go there one by one, answers and progress come back.
//
// Knows nothing of pages or of what a call means.

const LOST = "What paints has stopped, for want of memory perhaps: reload the page";
const BROKEN = "What paints could not be started: look whether you are connected, then reload the page";

// {call, failed}: call(name, arguments) comes to the result or throws an Error with a `kind`. report: told
// of each file's {path, loaded, total} in bytes.
export function startModel(url, report) {
  const worker = new Worker(url, { type: "module" });
  const waiting = new Map(); // id -> how its caller is told
  let lost = null;
  let heard = false; // of the worker
  let last = 0;

  const failure = ({ message, kind }) => Object.assign(new Error(message), { kind });

  worker.addEventListener("message", ({ data }) => {
    heard = true;
    if (data.progress) return report(data.progress);
    const told = waiting.get(data.id);
    waiting.delete(data.id);
    data.error ? told?.failed(failure(data.error)) : told?.done(data.result);
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    lost = failure({ message: heard ? LOST : BROKEN, kind: "failed" });
    for (const { failed } of waiting.values()) failed(lost);
    waiting.clear();
  });

  function call(name, given, transfer = []) {
    if (lost) return Promise.reject(lost);
    const id = (last += 1);
    return new Promise((done, failed) => {
      waiting.set(id, { done, failed });
      worker.postMessage({ id, call: name, arguments: given }, transfer);
    });
  }

  return { call };
}
