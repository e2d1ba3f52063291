// Which pictures the rewind strip keeps, and what a reloaded page begins with. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const SCRIPT = readFileSync(join(__dirname, "..", "..", "sdxs", "page", "browser", "rewind.js"), "utf8");
const world = vm.createContext({ window: { sdxs: { opens() {} }, sdxsKeys: { add() {} } } });
vm.runInContext(SCRIPT, world, "rewind.js");
const { alike, asItWas, trimmed } = world.window.sdxsRewind;
const plain = (value) => JSON.parse(JSON.stringify(value));

const many = (count, rested, from = 0) => Array.from({ length: count }, (_, at) => ({ key: from + at, rested }));
const keys = (entries) => plain(entries).map(({ key }) => key);
const range = (from, to) => Array.from({ length: to - from }, (_, at) => from + at);

// Entries as they come, one by one.
const shown = (entries) => entries.reduce((kept, entry) => trimmed([...kept, entry]), []);

test("thirty are kept, the newest", () => {
  assert.deepEqual(keys(shown(many(30, false))), range(0, 30));
  assert.deepEqual(keys(shown(many(200, false))), range(170, 200));
  assert.deepEqual(keys(shown(many(200, true))), range(170, 200));
});

test("a burst leaves its newest, and what was looked at before it", () => {
  const kept = keys(shown([...many(30, true), ...many(40, false, 100)]));
  assert.deepEqual(kept, [...range(8, 30), ...range(132, 140)]);
});

test("of what flashed past, the oldest goes before what was looked at", () => {
  const kept = keys(shown([...many(10, true), ...many(10, false, 100), ...many(20, true, 200)]));
  assert.deepEqual(kept, [...range(0, 10), ...range(200, 220)]);
});

test("requests are alike by what they say", () => {
  assert.ok(alike({ prompt: "a", seed: "1" }, { seed: "1", prompt: "a", style: "", drawing: undefined }));
  assert.ok(!alike({ prompt: "a", seed: "1" }, { prompt: "a", seed: "2" }));
  assert.ok(!alike({ prompt: "a" }, { prompt: "a", drawing: "data:" }));
});

test("a reload begins with the picture on show, where the fields are still its own", () => {
  const fields = { prompt: { start: "" }, seed: { start: "0" } };
  const entry = { key: 4, request: { prompt: "a", seed: "0", drawing: "data:1" }, answer: { picture: "data:2" } };
  const shelf = (state) => ({ entries: [entry], state });
  const { request, answer } = entry;
  assert.deepEqual(plain(asItWas(shelf({ shown: 4, drawing: "data:1" }), fields, { prompt: "a" })), { request, answer });
  const drawing = "data:1";
  for (const [state, kept, wanted] of [
    [{ shown: 4, drawing }, { prompt: "b" }, { request: { prompt: "b", drawing } }], // typed on
    [{ shown: 4, drawing: "data:9" }, { prompt: "a" }, { request: { prompt: "a", drawing: "data:9" } }], // drawn on
    [{ shown: 5, drawing }, { prompt: "a" }, { request: { prompt: "a", drawing } }], // removed
    [{ shown: 4, drawing: "" }, { prompt: "a" }, null],
    [{}, { prompt: "a" }, null],
  ])
    assert.deepEqual(plain(asItWas(shelf(state), fields, kept)), wanted);
});
