// Links: what they hold, and what strangers may have made of them. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const SCRIPT = readFileSync(join(__dirname, "..", "..", "sdxs", "page", "browser", "links.js"), "utf8");
const world = vm.createContext({
  window: { sdxs: { opens() {} } },
  URLSearchParams, Blob, CompressionStream, DecompressionStream, btoa, atob, Uint8Array,
});
vm.runInContext(SCRIPT, world, "links.js");
const { decode, encode, pack, unpack } = world.window.sdxsLinks;
const plain = (value) => JSON.parse(JSON.stringify(value));

const FIELDS = {
  prompt: { start: "", choices: null },
  seed: { start: "0", choices: null },
  strength: { start: 1, choices: null },
  style: { start: "", choices: ["", "anime"] },
  compare: { start: false, choices: null },
};
const DRAWN = { width: 64, height: 48, grey: Uint8Array.from({ length: 64 * 48 }, (_, at) => (at % 61 ? 255 : (at * 7) % 256)) };

test("a link is readable, and holds what is not as at first", () => {
  const request = { prompt: "a red house", seed: "7", strength: 1, style: "anime" };
  assert.equal(encode(request, FIELDS, "storybook"), "prompt=a+red+house&seed=7&style=anime&checkpoint=storybook");
  assert.equal(encode({ prompt: "a" }, FIELDS, ""), "prompt=a&seed=0");
});

test("what went in comes out", () => {
  for (const prompt of ["a & b = c + d # ? %", "ein Häuschen 🏠", "two\nlines", "بيت أحمر", " ", "drawing=1&seed=9", "<b>&amp;"]) {
    const request = { prompt, seed: String(2n ** 63n - 1n), strength: 0.35, style: "anime", compare: true };
    const found = decode(encode(request, FIELDS, "a/b@c", "8x8.AA"), FIELDS);
    assert.deepEqual(plain(found), { request, pixels: "8x8.AA", checkpoint: "a/b@c", left: [] });
  }
});

test("what is not known here is left out", () => {
  const found = decode("prompt=a&style=ink&strength=much&strength2=1&toString=1&__proto__=x&constructor=1&seed=7", FIELDS);
  assert.deepEqual(plain(found.request), { prompt: "a", seed: "7" });
  assert.deepEqual(plain(found.left).sort(), ["__proto__", "constructor", "strength", "strength2", "style", "toString"].sort());
  for (const strength of ["", " ", "NaN", "Infinity", "1e999"]) assert.deepEqual(plain(decode(`seed=1&strength=${strength}`, FIELDS).request), { seed: "1" });
});

test("a fragment that is none of ours is let alone", () => {
  for (const fragment of ["", "sdxs-head", "a=b&c=d", "%", "%zz=%", "&&&==", `prompt=${"x".repeat(1e6)}`]) assert.equal(decode(fragment, FIELDS), null);
});

test("a drawing comes back, pixel for pixel", async () => {
  const text = await pack(DRAWN);
  assert.match(text, /^64x48\.[\w-]+$/);
  const back = await unpack(text);
  assert.deepEqual([back.width, back.height, [...back.grey]], [64, 48, [...DRAWN.grey]]);
  const blank = await pack({ width: 512, height: 512, grey: new Uint8Array(512 * 512).fill(255) });
  assert.ok(blank.length < 400, `${blank.length} characters for nothing`);
});

test("a damaged or hostile drawing is none", async () => {
  const text = await pack(DRAWN);
  const bomb = (await pack({ width: 4000, height: 4000, grey: new Uint8Array(16e6) })).split(".")[1];
  for (const hostile of ["", "64x48.", text.slice(0, -9), text.replace("64x48", "64x49"), text.replace("64x48", "64x47"), `64x48.${bomb}`,
    `9999x9999.${bomb}`, "0x0.AA", "-1x4.AA", "1e3x4.AA", "64x48.!!!!", "64x48.A", "NaNxNaN.AAAA"])
    assert.equal(await unpack(hostile), null, hostile.slice(0, 30));
});
