// What a picture's file says of how it was made, and the request that asks for it again: as
// sdxs/metadata/reading.py and sdxs/service/restoring.py have it, as far as it goes here.
//
// A file has come through carried.js: what it carries, on a single pixel. Of other programs' files prompt
// and seed are taken.

import { choices, lacks } from "./fields.js";

const LONGEST = 100_000; // characters
const SILENT = "says nothing of how it was made";
const DRAWING = /sdxs:drawing(?:=["']|>)([A-Za-z0-9+/]{32,80000}={0,2})["'<]/;
const PNG = "iVBORw0KGgo"; // how a PNG begins in base64
const OF_FILES = /^(Steps|Sampler|Schedule type|CFG scale|Seed|Size|Model|Version|Control|.*hash(es)?|Created Date)$/i;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;
const MOST_SETTINGS = 200;
const MOST_NAMED = 6;
const MOST_PIXELS = 2_000_000; // of a drawing; a canvas has half as many at most

const latin1 = (bytes) => new TextDecoder("latin1").decode(bytes);
const utf8 = (bytes) => new TextDecoder().decode(bytes);

// {parameters, xmp}: texts in a PNG's chunks.
function inPng(bytes, view) {
  const found = { parameters: "", xmp: "" };
  for (let at = 8; at + 12 <= bytes.length; ) {
    const [size, name] = [view.getUint32(at), latin1(bytes.subarray(at + 4, at + 8))];
    const body = bytes.subarray(at + 8, at + 8 + size);
    const [key] = latin1(body).split("\0", 1);
    if (name === "tEXt" && key === "parameters") found.parameters = latin1(body.subarray(key.length + 1));
    if (name === "iTXt" && body[key.length + 1] === 0) {
      let start = key.length + 3; // behind a flag and a method
      for (let ends = 0; ends < 2 && start < body.length; start += 1) ends += body[start] === 0; // language, translated key
      const said = utf8(body.subarray(start));
      if (key === "parameters") found.parameters = said;
      if (key === "XML:com.adobe.xmp") found.xmp = said;
    }
    if (name === "eXIf") found.parameters ||= comment(body);
    at += 12 + size;
  }
  return found;
}

// The UserComment in a piece of a file that holds EXIF; "" where there is none.
function comment(bytes) {
  const at = latin1(bytes).indexOf("UNICODE\0");
  if (at < 0) {
    const ascii = latin1(bytes).indexOf("ASCII\0\0\0");
    return ascii < 0 ? "" : utf8(bytes.subarray(ascii + 8)).split("\0")[0];
  }
  const letters = bytes.slice(at + 8, bytes.length - ((bytes.length - at - 8) % 2));
  const texts = ["utf-16be", "utf-16le"].map((code) => new TextDecoder(code).decode(letters));
  return texts.find((text) => text.includes("Steps:"))?.split("\0")[0] ?? "";
}

function inJpeg(bytes, view) {
  const found = { parameters: "", xmp: "" };
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xd9; ) {
    const end = at + 2 + view.getUint16(at + 2);
    const body = bytes.subarray(at + 4, end);
    if (bytes[at + 1] === 0xe1 && latin1(body.subarray(0, 4)) === "Exif") found.parameters ||= comment(body);
    if (bytes[at + 1] === 0xe1 && latin1(body.subarray(0, 4)) === "http") found.xmp ||= utf8(body);
    at = end;
  }
  return found;
}

function inWebp(bytes, view) {
  const found = { parameters: "", xmp: "" };
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [name, size] = [latin1(bytes.subarray(at, at + 4)), view.getUint32(at + 4, true)];
    const body = bytes.subarray(at + 8, at + 8 + size);
    if (name === "EXIF") found.parameters ||= comment(body);
    if (name === "XMP ") found.xmp ||= utf8(body);
    at += 8 + size + (size % 2);
  }
  return found;
}

const READ = { "image/png": inPng, "image/jpeg": inJpeg, "image/webp": inWebp };

// {name: value} of a line of settings, in one walk along it, whatever is written there.
function settings(line) {
  const found = {};
  for (let at = 0, count = 0; count < MOST_SETTINGS; count += 1) {
    const colon = line.indexOf(":", at);
    if (colon < 0) break;
    const name = line.slice(at, colon).split(",").at(-1).trim();
    const [value, end] = valueAt(line, colon + 1 + /^ */.exec(line.slice(colon + 1))[0].length);
    if (name) found[name] = value;
    const comma = line.indexOf(",", end);
    at = comma < 0 ? line.length : comma + 1;
  }
  return found;
}

// [the value that begins at a place, where it ends]: JSON, or all up to a comma.
function valueAt(line, at) {
  QUOTED.lastIndex = at;
  try {
    const written = QUOTED.exec(line)?.[0];
    if (written) return [JSON.parse(written), at + written.length];
  } catch {} // it only begins like that
  const comma = line.indexOf(",", at);
  const end = comma < 0 ? line.length : comma;
  return [line.slice(at, end).trim(), end];
}

// {prompt, said, ours} of a text; null where it has no settings.
export function parsed(text) {
  const last = text.lastIndexOf("\n");
  const own = settings(text.slice(last + 1));
  if (own.Version?.startsWith("sdxs ")) return { prompt: text.slice(0, Math.max(last, 0)), said: own, ours: true };
  const lines = text.trim().split("\n");
  for (let at = lines.length - 1; at >= 0; at -= 1) {
    const said = settings(lines[at]);
    if (Object.keys(said).length >= 3 && "Steps" in said)
      return { prompt: lines.slice(0, at).join("\n").split("Negative prompt:")[0].trim(), said, ours: false };
  }
  return null;
}

// A setting as its field holds it; undefined for what does not go here.
function held(row, about, text) {
  const names = choices(row, about);
  if (names) return Object.hasOwn(names, text) ? text : undefined;
  const { kind, low, high } = row.widget;
  if (kind === "switch") return text === "True";
  if (kind === "slider") return text.trim() && Number(text) >= low && Number(text) <= high ? Number(text) : undefined;
  if (row.widget.rolls) return /^\d{1,19}$/.test(text) ? text : undefined;
  return text;
}

// The prompt as it was typed, without its template, where it still is what that makes of it.
function untemplated(prompt, pattern) {
  const [before, after] = pattern.split("{prompt}");
  const typed = prompt.slice(before.length, prompt.length - after.length);
  return pattern.replace("{prompt}", () => typed) === prompt ? typed : null;
}

// {request, note} of what a file says, on a page with these rows.
export function restored({ prompt, said, ours }, drawing, rows, about) {
  const request = {};
  const left = [];
  const named = { ...said };
  for (const row of rows) {
    if (!(row.title in named) || row.field === "prompt" || row.field === "drawing" || !(ours || row.field === "seed")) continue;
    const text = named[row.title];
    delete named[row.title];
    const there = new Set([...Object.keys(request), ...rows.filter(({ field }) => field === "drawing").map(({ field }) => field)]);
    if (lacks(row, there)) continue;
    const value = held(row, about, text);
    value === undefined ? left.push(`${row.title} ${text}`) : (request[row.field] = value);
  }
  if (drawing && rows.some(({ field }) => field === "drawing")) request.drawing = `data:image/png;base64,${drawing}`;
  const typed = request.template ? untemplated(prompt, about.templates[request.template]) : null;
  if (request.template && typed === null) delete request.template;
  request.prompt = typed ?? prompt;
  const notes = [];
  if (named.Model && named.Model !== about.checkpoint) notes.push(`made with ${named.Model.slice(0, 60)}, here ${about.checkpoint}`);
  const size = about.size.join("x");
  if (named.Size && named.Size !== size) notes.push(`size ${named.Size.slice(0, 20)} left out: pictures here have ${size}`);
  if (ours && named.Control && !request.drawing) notes.push("what it followed is not here");
  for (const name of Object.keys(named)) if (!OF_FILES.test(name) && ours && name !== "Condition") left.push(name);
  if (left.length) notes.push(`${left.slice(0, MOST_NAMED).join(", ")} left out: not known here`);
  if (rows.some(({ field }) => field === "style")) request.style ??= "";
  return { request, note: notes.join("; ") };
}

// The drawing in a packet, a PNG in base64; "" where there is none, or one larger than any canvas.
function drawingOf(xmp) {
  const letters = DRAWING.exec(xmp)?.[1] ?? "";
  if (!letters.startsWith(PNG)) return "";
  const head = Uint8Array.from(atob(letters.slice(0, 32)), (letter) => letter.charCodeAt(0));
  const [width, height] = [16, 20].map((at) => new DataView(head.buffer).getUint32(at));
  return width * height <= MOST_PIXELS ? letters : "";
}

// Class Answer, of {file: data URL, name}.
export async function read({ file, name }, rows, about) {
  const blob = await (await fetch(file)).blob();
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const { parameters, xmp } = READ[blob.type](bytes, new DataView(bytes.buffer));
  const found = parameters.length <= LONGEST && parsed(parameters);
  if (!found) return { note: `${name} ${SILENT}.`, kind: "hint" };
  const { request, note } = restored(found, drawingOf(xmp), rows, about);
  return { request, note: note && `${note[0].toUpperCase()}${note.slice(1)}.`, kind: "hint" };
}
