// The canvas without a browser: what it opens. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const world = vm.createContext({ window: {} });
for (const name of ["drawing.js", "canvas.js"])
  vm.runInContext(readFileSync(join(__dirname, "..", "..", "sdxs", "page", name), "utf8"), world);
const { refused } = world.window.sdxsCanvas;

test("what is no picture is refused by name", () => {
  assert.equal(refused({ name: "a.png", type: "image/png", size: 10 }), "");
  assert.match(refused({ name: "a.gif", type: "image/gif", size: 10 }), /a\.gif is no PNG, JPEG or WebP/);
  assert.match(refused({ name: "", type: "text/html", size: 10 }), /^The picture is no PNG/);
  assert.match(refused({ name: "a.png", type: "image/png", size: 6e7 }), /more than 50 MB/);
  assert.match(refused({ name: "a.png", type: "image/png", size: 9 }, { width: 9000, height: 9000 }), /9000 × 9000 pixels/);
});
