// What a picture's file says of how it was made, and that a model made it: as sdxs/metadata writes it.
//
// `given` is always a request that is checked, see requests.js. Knows nothing of how a picture is painted.

import { big32, international, joined, latin1, png, text, utf8 } from "./png.js";

const LONGEST = 8000; // characters of a value
const LARGEST_DRAWING = 46_000; // bytes of a PNG
const LARGEST_EXIF = 65_000;
const NEARLY = 2; // of 255, as in links.js
const SPECIAL = /[,:"\n\r]/;
const SILENT = ["prompt", "drawing"];

const plain = (said) => [...said.replaceAll("\0", "")].slice(0, LONGEST).join("").replace(/\p{Surrogate}/gu, "?");

function quoted(value) {
  const said = typeof value === "number" ? String(Number(value.toPrecision(12))) : plain(String(value));
  return !said || said !== said.trim() || SPECIAL.test(said) ? JSON.stringify(said) : said;
}

// The parameters of a picture of this size. rows: of the options, for their titles and their order.
export function parameters(given, rows, about, [width, height], software) {
  const said = Object.fromEntries(
    rows.filter(({ field, programs }) => Object.hasOwn(given, field) && programs && !SILENT.includes(field)).map(({ field, title }) => [title, given[field]]),
  );
  const { Seed, ...more } = said;
  const first = { Steps: 1, Sampler: "one step", "CFG scale": 1, Seed: String(Seed), Size: `${width}x${height}`, Model: about.checkpoint };
  const line = Object.entries({ ...first, ...more, Version: software }).map(([name, value]) => `${name}: ${quoted(value)}`);
  return `${plain(filled(given, about))}\n${line.join(", ")}`;
}

// A prompt in its template, if it has one.
export function filled(given, about, name = "prompt") {
  const pattern = about.templates[given.template] ?? "{prompt}";
  return pattern.replaceAll("{prompt}", () => given[name]);
}

const packet = (words, drawing) => words.replace("%s", () => (drawing ? `\n sdxs:drawing="${btoa(drawing)}"` : ""));

// A drawing as a small PNG in letters of a byte each; "" where it does not fit or is a photo.
async function kept(drawing) {
  if (!drawing) return "";
  const { data } = drawing;
  for (let at = 0; at < data.length; at += 4)
    if (Math.max(Math.abs(data[at] - data[at + 1]), Math.abs(data[at + 2] - data[at + 1])) > NEARLY) return "";
  const file = await png(drawing, { grey: true });
  return file.length <= LARGEST_DRAWING ? Array.from(file, (byte) => String.fromCharCode(byte)).join("") : "";
}

// A PNG of pixels {data, width, height}, with all that it is to say. xmp: the packet's words. drawing: the
// pixels of what it follows, or null.
export async function keepsake(pixels, said, xmp, drawing) {
  const mark = international("XML:com.adobe.xmp", packet(xmp, await kept(drawing)));
  return png(pixels, { chunks: [text("parameters", said), mark] });
}

const big16 = (...numbers) => Uint8Array.from(numbers.flatMap((number) => [number >> 8, number & 255]));
const segment = (body) => joined(big16(0xffe1, body.length + 2), body);

// EXIF that says a text in its UserComment.
function exif(said) {
  const letters = Uint8Array.from({ length: 2 * said.length }, (_, at) => (said.charCodeAt(at >> 1) >> (at & 1 ? 0 : 8)) & 255);
  const comment = joined(latin1("UNICODE\0"), letters);
  const to = (tag, type, count, value) => joined(big16(1, tag, type), big32(count, value, 0)); // a directory of one entry
  return joined(latin1("Exif\0\0MM\0*"), big32(8), to(0x8769, 4, 1, 26), to(0x9286, 7, comment.length, 44), comment);
}

// The bytes of a JPEG as a canvas writes it, with what it is to say behind its first two.
export function marked(jpeg, said, xmp) {
  const comment = exif(said);
  const parts = comment.length <= LARGEST_EXIF ? [segment(comment)] : [];
  parts.push(segment(joined(latin1("http://ns.adobe.com/xap/1.0/\0"), utf8(packet(xmp, "")))));
  return joined(jpeg.subarray(0, 2), ...parts, jpeg.subarray(2));
}
