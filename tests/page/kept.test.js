// What a tab keeps for its reload. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const SCRIPT = readFileSync(join(__dirname, "..", "..", "sdxs", "page", "browser", "kept.js"), "utf8");
const FIELDS = {
  prompt: { start: "", choices: null },
  seed: { start: "0", choices: null },
  strength: { start: 1, choices: null },
  style: { start: "", choices: ["", "anime"] },
};
const plain = (value) => JSON.parse(JSON.stringify(value));

function tab(storage) {
  const context = vm.createContext({ window: { location: { pathname: "/" }, get sessionStorage() { return storage(); } } });
  vm.runInContext(SCRIPT, context, "kept.js");
  return context.window.sdxsKept;
}

function stored(text = null) {
  const storage = { getItem: () => text, setItem: (_, value) => (text = value) };
  return tab(() => storage);
}

test("what was set comes back, and what was not does not", () => {
  const { keep, kept } = stored();
  assert.deepEqual(plain(kept(FIELDS)), {});
  keep(FIELDS, { prompt: "a cat", seed: "0", strength: 0.5, style: "anime" });
  assert.deepEqual(plain(kept(FIELDS)), { prompt: "a cat", strength: 0.5, style: "anime" });
});

test("what there is not any more is left out", () => {
  const { kept } = stored(JSON.stringify({ style: "ink", seed: 7, toString: "x", gone: 1, prompt: "a cat" }));
  assert.deepEqual(plain(kept(FIELDS)), { prompt: "a cat" });
  for (const text of ["not JSON", "null", "7", "[]"]) assert.deepEqual(plain(stored(text).kept(FIELDS)), {});
});

test("storage that is forbidden or full is done without", () => {
  for (const storage of [
    () => { throw new Error("SecurityError"); },
    () => null,
    () => ({ getItem: () => null, setItem: () => { throw new Error("QuotaExceededError"); } }),
  ]) {
    const { keep, kept } = tab(storage);
    keep(FIELDS, { prompt: "a cat", seed: "0", strength: 1, style: "" });
    assert.deepEqual(plain(kept(FIELDS)), {});
  }
});
