// The canvas without a browser: what is drawn on it, and what it opens. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const world = vm.createContext({ window: {} });
for (const name of ["drawing.js", "pictures.js", "canvas.js"])
  vm.runInContext(readFileSync(join(__dirname, "..", "..", "sdxs", "page", "browser", name), "utf8"), world, name);
const { drawing, history, lineWidth, memorable, onCanvas, placed, stroke } = world.window.sdxsDrawing;
const { refused, typeOf } = world.window.sdxsPictures;
const plain = (value) => JSON.parse(JSON.stringify(value)); // of this realm, so that it can be compared

// A 2-D context that remembers its pixels as a list of what was drawn on them.
function canvasOf(width = 512, height = 512) {
  let drawn = [];
  let path = [];
  const context = {
    fillRect: () => (drawn = ["paper"]),
    beginPath: () => (path = []),
    moveTo: (x, y) => path.push([x, y]),
    lineTo: (x, y) => path.push([x, y]),
    stroke: () => drawn.push([context.strokeStyle, context.lineWidth, ...path]),
    arc: (...circle) => path.push(circle.slice(0, 3)),
    fill: () => drawn.push([context.fillStyle, ...path]),
    drawImage: (picture, ...place) => (picture.drawn ? (drawn = picture.drawn()) : drawn.push([picture, ...place])),
    setTransform: (...numbers) => drawn.push(numbers),
    save() {},
    restore() {},
  };
  return {
    width,
    height,
    drawn: () => [...drawn],
    cloneNode: () => canvasOf(width, height),
    getContext: () => context,
    toDataURL: (kind) => `${kind} ${JSON.stringify(drawn)}`,
  };
}

function page() {
  const canvas = canvasOf();
  const told = { changes: 0 };
  return { told, canvas, page: drawing(canvas, () => (told.changes += 1)) };
}

test("history goes back and forward, and forgets the oldest", () => {
  const kept = history(2);
  assert.equal(kept.undo("now"), null);
  for (const drawing of ["a", "b", "c"]) kept.keep(drawing);
  assert.equal(kept.past, 2);
  assert.equal(kept.undo("d"), "c");
  assert.equal(kept.undo("c"), "b");
  assert.equal(kept.undo("b"), null);
  assert.equal(kept.redo("b"), "c");
  assert.equal(kept.redo("c"), "d");
  assert.equal(kept.redo("d"), null);
});

test("a new drawing ends what could be redone", () => {
  const kept = history(9);
  kept.keep("a");
  kept.undo("b");
  assert.equal(kept.future, 1);
  kept.keep("a");
  assert.equal(kept.future, 0);
});

test("drawings to go back to fit into memory", () => {
  assert.equal(memorable(512, 512), 50);
  assert.equal(memorable(1024, 1024), 16);
  assert.equal(memorable(4096, 4096), 8);
});

test("a pen's pressure makes a line wider, a mouse's does not", () => {
  const width = (pointerType, pressure) => lineWidth("middle", { pointerType, pressure }, 512);
  assert.equal(width("mouse", 0.5), 10);
  assert.equal(width("touch", 1), 10);
  assert.equal(width("pen", 0), 10); // a pen that knows no pressure
  assert.ok(width("pen", 0.1) < width("pen", 0.5) && width("pen", 0.5) < width("pen", 1));
  assert.equal(lineWidth("thick", { pointerType: "mouse", pressure: 0.5 }, 1024), 36);
});

test("places of the window become places of the canvas", () => {
  const box = { left: 100, top: 50, width: 256, height: 128 };
  const place = onCanvas({ clientX: 228, clientY: 114 }, box, { width: 512, height: 512 });
  assert.deepEqual(plain(place), { x: 256, y: 256 });
});

test("a picture lies whole on the canvas, or covers it", () => {
  const photo = { width: 200, height: 100 };
  assert.deepEqual(plain(placed(photo, { width: 512, height: 512 }, false)), [0, 128, 512, 256]);
  assert.deepEqual(plain(placed(photo, { width: 512, height: 512 }, true)), [-256, 0, 1024, 512]);
});

test("a line begins with a dot and runs through each point", () => {
  const canvas = canvasOf();
  const line = stroke(canvas.getContext(), "pen", { x: 1, y: 2 }, 8);
  line.move({ x: 5, y: 6 }, 9);
  line.move({ x: 7, y: 0 }, 8);
  assert.deepEqual(plain(canvas.drawn()), [
    ["#101010", [1, 2, 4]],
    ["#101010", 9, [1, 2], [5, 6]],
    ["#101010", 8, [5, 6], [7, 0]],
  ]);
});

test("undo and redo bring back exactly what was there", () => {
  const { page: sheet } = page();
  const states = [sheet.snapshot()];
  for (const x of [10, 20, 30]) {
    sheet.press("pen", { x, y: x }, 5);
    sheet.drag({ x, y: 100 }, 5);
    sheet.lift();
    states.push(sheet.snapshot());
  }
  for (const state of states.slice(0, -1).reverse()) {
    sheet.undo();
    assert.equal(sheet.snapshot(), state);
  }
  sheet.undo(); // nothing is left to undo
  assert.equal(sheet.snapshot(), states[0]);
  for (const state of states.slice(1)) {
    sheet.redo();
    assert.equal(sheet.snapshot(), state);
  }
});

test("a stroke that was not meant leaves nothing behind", () => {
  const { page: sheet } = page();
  sheet.press("pen", { x: 1, y: 1 }, 5);
  sheet.lift();
  sheet.press("pen", { x: 7, y: 7 }, 5);
  sheet.lift();
  sheet.undo();
  const [before, past, future] = [sheet.snapshot(), sheet.past, sheet.future];
  sheet.press("pen", { x: 9, y: 9 }, 5);
  sheet.drag({ x: 30, y: 30 }, 5);
  sheet.revoke();
  assert.deepEqual([sheet.snapshot(), sheet.past, sheet.future], [before, past, future]);
  sheet.revoke(); // nothing is in the making
  assert.deepEqual([sheet.snapshot(), sheet.past, sheet.future], [before, past, future]);
  sheet.drag({ x: 9, y: 9 }, 5); // the pen is up
  assert.equal(sheet.snapshot(), before);
  sheet.redo();
  assert.equal(sheet.future, 0);
  assert.notEqual(sheet.snapshot(), before);
});

test("undo in the middle of a stroke takes the stroke away", () => {
  const { page: sheet } = page();
  const blank = sheet.snapshot();
  sheet.press("pen", { x: 1, y: 1 }, 5);
  sheet.undo();
  assert.equal(sheet.drawn, false);
  assert.equal(sheet.snapshot(), blank);
  sheet.drag({ x: 9, y: 9 }, 5); // the pen is up
  assert.equal(sheet.snapshot(), blank);
});

test("the eraser paints the paper's colour, clear can be undone", () => {
  const { page: sheet } = page();
  sheet.press("pen", { x: 1, y: 1 }, 5);
  sheet.press("eraser", { x: 1, y: 1 }, 5);
  sheet.lift();
  const erased = sheet.snapshot();
  assert.match(erased, /"#ffffff",\[1,1,5\]/); // twice as wide as a pen
  sheet.clear();
  assert.notEqual(sheet.snapshot(), erased);
  sheet.undo();
  assert.equal(sheet.snapshot(), erased);
});

test("of an empty sheet there is nothing to erase, and nothing to undo", () => {
  const { page: sheet } = page();
  sheet.press("eraser", { x: 1, y: 1 }, 5);
  sheet.drag({ x: 9, y: 9 }, 5);
  sheet.lift();
  assert.equal(sheet.past, 0);
  assert.equal(sheet.blank, true);
});

test("lines are sent whole, a photo as a JPEG, and undo knows which", () => {
  const { page: sheet } = page();
  assert.match(sheet.snapshot(), /^image\/png/);
  sheet.keep();
  sheet.show({ width: 100, height: 100 });
  assert.match(sheet.snapshot(), /^image\/jpeg/);
  sheet.press("pen", { x: 1, y: 1 }, 5);
  assert.match(sheet.snapshot(), /^image\/jpeg/);
  sheet.undo();
  sheet.undo();
  assert.match(sheet.snapshot(), /^image\/png/);
});

test("each change is told", () => {
  const { page: sheet, told } = page();
  for (const change of [
    () => sheet.press("pen", { x: 1, y: 1 }, 5),
    () => sheet.lift(),
    () => sheet.clear(),
    () => sheet.undo(),
    () => sheet.show({ width: 1, height: 1 }),
  ]) {
    const before = told.changes;
    change();
    assert.ok(told.changes > before);
  }
  const before = told.changes;
  sheet.lift(); // nothing was in the making
  assert.equal(told.changes, before);
});

test("what is no picture is refused by name", () => {
  assert.equal(refused({ name: "a.png", type: "image/png", size: 10 }), "");
  assert.match(refused({ name: "a.gif", type: "", size: 10 }), /a\.gif is no PNG, JPEG or WebP/);
  assert.match(refused({ name: "", type: "", size: 10 }), /^The picture is no PNG/);
  assert.match(refused({ name: "a.png", type: "image/png", size: 6e7 }), /more than 50 MB/);
  assert.match(refused({ name: "a.png", type: "image/png", size: 9 }, { width: 9000, height: 9000 }), /9000 × 9000 pixels/);
});

test("a picture's type is what its first bytes say", () => {
  const type = (text) => typeOf(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  assert.equal(type("\x89PNG\r\n\x1a\n\0\0\0\r"), "image/png");
  assert.equal(type("\xff\xd8\xff\xe0\0\x10JFIF\0\x01"), "image/jpeg");
  assert.equal(type("RIFF\x24\n\0\0WEBP"), "image/webp");
  for (const other of ["", "GIF89a", "RIFF\x24\0\0\0WAVE", "<svg>", "\x89PNG", "\0\0\0 ftypheic"]) assert.equal(type(other), "");
});
