// What files carry, by their bytes. Whole files that programs wrote are in tests/browser/test_dropped.py.
// Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const SCRIPT = readFileSync(join(__dirname, "..", "..", "sdxs", "page", "browser", "carried.js"), "utf8");
const world = vm.createContext({ window: {}, TextDecoder, Uint8Array, DataView, atob });
vm.runInContext(SCRIPT, world, "carried.js");
const { carried } = world.window.sdxsCarried;

const bytes = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part)))));
const has = (file, text) => Buffer.from(file).includes(text);
const u32 = (value, little) => { const four = Buffer.alloc(4); little ? four.writeUInt32LE(value) : four.writeUInt32BE(value); return four; };
const u16 = (value) => { const two = Buffer.alloc(2); two.writeUInt16BE(value); return two; };

const chunk = (name, body) => bytes(u32(body.length), name, body, "\0\0\0\0");
const png = (...chunks) => bytes("\x89PNG\r\n\x1a\n", chunk("IHDR", "0123456789abc"), ...chunks, chunk("IEND", ""));
const segment = (marker, body) => bytes([0xff, marker], u16(body.length + 2), body);
const jpeg = (...segments) => bytes([0xff, 0xd8], ...segments, segment(0xda, "scan"), "PIXELS", [0xff, 0xd9]);
const riff = (name, body) => bytes(name, u32(body.length, true), body, body.length % 2 ? "\0" : "");
const webp = (...chunks) => { const body = bytes("WEBP", ...chunks); return bytes("RIFF", u32(body.length, true), body); };
const wide = (text) => Buffer.from(text, "utf16le");
const STEPS = "a red house\nSteps: 1, Seed: 7";

test("a PNG's text comes without its pixels, wherever it stands", () => {
  for (const chunks of [
    [chunk("tEXt", `parameters\0${STEPS}`), chunk("IDAT", "PIXELS")],
    [chunk("IDAT", "PIXELS"), chunk("iTXt", `parameters\0\0\0\0\0${STEPS}`)],
    [chunk("IDAT", "PIXELS"), chunk("zTXt", "parameters\0packed")],
    [chunk("eXIf", STEPS), chunk("IDAT", "PIXELS")],
  ]) {
    const file = carried("image/png", png(chunk("iCCP", "COLOURS"), ...chunks));
    assert.ok(has(file, "IHDR") && has(file, "IEND") && !has(file, "PIXELS") && !has(file, "COLOURS"));
    assert.ok(has(file, "Steps") || has(file, "packed"));
  }
});

test("EXIF of JPEG and WebP, in letters of one and two bytes", () => {
  const swapped = wide(STEPS).swap16();
  for (const text of [STEPS, wide(STEPS), swapped]) {
    const exif = bytes("Exif\0\0UNICODE\0", text);
    const one = carried("image/jpeg", jpeg(segment(0xe0, "JFIF"), segment(0xe1, exif), segment(0xeb, "THUMBNAIL"), segment(0xdb, "t")));
    assert.ok(has(one, text) && !has(one, "PIXELS") && !has(one, "THUMBNAIL"));
    assert.deepEqual([...one.slice(-2)], [0xff, 0xd9]);
    const other = carried("image/webp", webp(riff("VP8X", "0123456789"), riff("VP8L", "PIXELS!"), riff("EXIF", exif), riff("XMP ", "<x/>")));
    assert.ok(has(other, text) && has(other, "<x/>") && !has(other, "PIXELS"));
    assert.equal(Buffer.from(other).readUInt32LE(4), other.length - 8);
  }
});

test("a file that says nothing, or is damaged, is not sent", () => {
  const whole = jpeg(segment(0xe1, `Exif\0\0${STEPS}`));
  for (const [type, file] of [
    ["image/png", png(chunk("IDAT", `parameters\0${STEPS}`))],
    ["image/png", png(chunk("tEXt", `Comment\0${STEPS}`))],
    ["image/png", bytes("\x89PNG\r\n\x1a\n", u32(2 ** 32 - 1), "tEXt")],
    ["image/jpeg", jpeg(segment(0xe1, "Exif\0\0a camera"))],
    ["image/jpeg", bytes([0xff, 0xd8], "junk", whole)],
    ["image/jpeg", bytes([0xff, 0xd8, 0xff, 0xff, 0xff])],
    ["image/webp", webp(riff("VP8 ", STEPS))],
    ["image/webp", bytes("RIFF\0\0\0\0WEBP")],
    ["image/gif", whole],
    ["", new Uint8Array(0)],
  ])
    assert.equal(carried(type, file), null);
  const huge = chunk("tEXt", `parameters\0${"x".repeat(4e6)}`);
  assert.equal(carried("image/png", png(huge)), null);
});

test("every cut of a file ends", () => {
  const exif = `Exif\0\0${STEPS}`;
  for (const [type, file] of [
    ["image/png", png(chunk("tEXt", `parameters\0${STEPS}`), chunk("IDAT", "PIXELS"))],
    ["image/jpeg", jpeg(segment(0xe1, exif))],
    ["image/webp", webp(riff("EXIF", exif))],
  ])
    for (let end = 0; end < file.length; end += 1) carried(type, file.slice(0, end));
});
