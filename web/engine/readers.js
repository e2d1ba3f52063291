// Where an exported model's files come from: an address, or files that were dropped on the page.
//
// Knows nothing of what is in them.

import { blamed, EngineError, oneLine } from "./errors.js";

const AGAIN = "look whether you are connected, then load the page again";
const EXPORT = "python -m sdxs.export MODEL --to onnx --out FOLDER";

// A reader (see files.js) of a folder by its address, which ends in "/".
export const fromAddress = (folder) => (path, options) =>
  fetched(new URL(path.split("/").map(encodeURIComponent).join("/").replaceAll("%2B", "+"), folder).href, options);

// A reader of files {path: Blob}.
export const fromFiles = (files) => async (path, { loaded } = {}) => {
  if (!(path in files)) throw new EngineError("missing", `there is no ${path} in this folder: ${EXPORT} makes it`);
  try {
    const bytes = new Uint8Array(await files[path].arrayBuffer());
    loaded?.(bytes.length);
    return bytes;
  } catch (error) {
    throw blamed(error, `${path} cannot be read`);
  }
};

// The bytes at an address; `loaded(bytes)` is told how many are there.
export async function fetched(url, { signal, loaded = () => {} } = {}) {
  const name = decodeURIComponent(url.split("/").at(-1));
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new EngineError("missing", `${name} cannot be loaded: ${AGAIN}`);
  }
  if (!response.ok) {
    const answer = oneLine(`${response.status} ${response.statusText}`);
    throw new EngineError("missing", `there is no ${name}: ${url} was answered with ${answer}`);
  }
  try {
    return await collected(response, loaded);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error instanceof TypeError) throw new EngineError("missing", `${name} came only in part: ${AGAIN}`);
    throw blamed(error, `${name} cannot be loaded`);
  }
}

// The body of an answer, in one piece of memory where its length is known.
async function collected(response, loaded) {
  const stated = response.headers.has("Content-Encoding") ? 0 : Number(response.headers.get("Content-Length"));
  let bytes = new Uint8Array(stated);
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return bytes.subarray(0, length);
    if (length + value.length > bytes.length) {
      const larger = new Uint8Array(Math.max(length + value.length, 2 * bytes.length));
      larger.set(bytes.subarray(0, length));
      bytes = larger;
    }
    bytes.set(value, length);
    length += value.length;
    loaded(length);
  }
}
