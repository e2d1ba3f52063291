// PNG files, every pixel as it is: a canvas of a careful browser would write others.

const HEAD = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

export const utf8 = (text) => new TextEncoder().encode(text);
export const latin1 = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

export function joined(...parts) {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function big32(...numbers) {
  const bytes = new Uint8Array(4 * numbers.length);
  const view = new DataView(bytes.buffer);
  numbers.forEach((number, at) => view.setUint32(4 * at, number));
  return bytes;
}

function chunk(name, body) {
  const named = joined(latin1(name), body);
  let crc = 0xffffffff;
  for (const byte of named) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return joined(big32(body.length), named, big32((crc ^ 0xffffffff) >>> 0));
}

// A text: in Latin-1 where that has its letters, else in UTF-8, as Pillow writes it.
export function text(key, said) {
  if (/^[\x00-\xff]*$/.test(said)) return chunk("tEXt", latin1(`${key}\0${said}`));
  return international(key, said);
}
export const international = (key, said) => chunk("iTXt", joined(latin1(`${key}\0\0\0\0\0`), utf8(said)));

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A file of pixels (RGBA, opaque). grey: of their red alone. chunks: what else it holds.
export async function png({ data, width, height }, { grey = false, chunks = [] } = {}) {
  const channels = grey ? 1 : 3;
  const rows = new Uint8Array(height * (1 + width * channels));
  const at = (x, y, channel) => data[4 * (y * width + x) + channel];
  for (let y = 0, to = 0; y < height; y += 1) {
    rows[to++] = 1; // what differs from the pixel on the left
    for (let x = 0; x < width; x += 1)
      for (let channel = 0; channel < channels; channel += 1) rows[to++] = at(x, y, channel) - (x ? at(x - 1, y, channel) : 0);
  }
  const header = joined(big32(width, height), Uint8Array.of(8, grey ? 0 : 2, 0, 0, 0));
  return joined(HEAD, chunk("IHDR", header), ...chunks, chunk("IDAT", await deflated(rows)), chunk("IEND", new Uint8Array()));
}
