// What is made of measured times. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const BROWSER = join(__dirname, "..", "..", "sdxs", "page", "browser");
const context = vm.createContext({ window: {} });
vm.runInContext(readFileSync(join(BROWSER, "numbers.js"), "utf8"), context, "numbers.js");
const { stages, percentile, rate, limit } = context.window.sdxsNumbers;
const plain = (value) => JSON.parse(JSON.stringify(value));

test("percentiles are values that were measured, in any order", () => {
  const hundred = Array.from({ length: 100 }, (_, place) => ((place * 37) % 100) + 1);
  assert.equal(percentile(hundred, 0.5), 50);
  assert.equal(percentile(hundred, 0.95), 95);
  assert.equal(percentile([100, 9], 0.5), 9);
  assert.equal(percentile([100, 9], 0.95), 100);
  assert.equal(percentile([7], 0.5), 7);
});

test("what neither the server nor this browser took is the network's", () => {
  const server = { waiting: 1, model: 20, encoding: 2 };
  const found = plain(stages(server, { sent: 100, received: 130, painted: 142 }));
  assert.deepEqual(found, { waiting: 1, model: 20, encoding: 2, network: 7, browser: 12 });
  assert.equal(stages(server, { sent: 100, received: 122, painted: 123 }).network, 0);
});

test("pictures a second are those of the last burst", () => {
  const burst = (from, many) => Array.from({ length: many }, (_, place) => from + 50 * place);
  assert.equal(rate(burst(0, 11)), 20);
  assert.equal(rate([...burst(0, 40).map((ms) => ms * 2), ...burst(60_000, 11)]), 20);
  assert.equal(rate(burst(0, 1000)), 20);
  assert.equal(rate([5]), undefined);
  assert.equal(rate([5, 5000]), undefined);
});

test("what limits is said of the largest part", () => {
  assert.equal(limit({ waiting: 0, model: 31.2, network: 4 }, 42.4), "The model takes most of it: 31 of 42 ms.");
  assert.equal(limit({ waiting: 80, model: 31 }, 120), "Waiting for other visitors takes most of it: 80 of 120 ms.");
  assert.equal(limit({ model: 19, network: 20, browser: 11 }, 50), "The network takes the largest part: 20 of 50 ms.");
  assert.equal(limit({ model: 9, browser: 20 }, 29), "This browser takes most of it: 20 of 29 ms.");
});
