// The block of seeds that a strip shows, and what it depends on. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const BROWSER = join(__dirname, "..", "..", "sdxs", "page", "browser");
const context = vm.createContext({ window: { sdxsServer: {}, sdxsKeys: { add() {} } } });
vm.runInContext(readFileSync(join(BROWSER, "variety.js"), "utf8"), context, "variety.js");
const { block, facts } = context.window.sdxsVariety;

test("a block has eight seeds, to the last digit", () => {
  assert.deepEqual([...block("0")], ["0", "1", "2", "3", "4", "5", "6", "7"]);
  assert.deepEqual([...block(" 13 ")], ["8", "9", "10", "11", "12", "13", "14", "15"]);
  const last = block("9223372036854775807");
  assert.deepEqual([last[0], last[7]], ["9223372036854775800", "9223372036854775807"]);
  for (const seed of last) assert.deepEqual([...block(seed)], [...last]);
});

test("another seed of the block, the final picture and comparing change nothing, all else does", () => {
  const request = { prompt: "a cat", seed: "3", style: "ink", compare: false };
  const same = facts(request);
  for (const more of [{ seed: "7" }, { final: true }, { compare: true }]) assert.equal(facts({ ...request, ...more }), same);
  for (const more of [{ seed: "8" }, { style: "" }, { prompt: "a dog" }, { drawing: "data:" }])
    assert.notEqual(facts({ ...request, ...more }), same);
});
