// Unknown words of a prompt, by the list of the embedded checkpoint. Run by test_scripts.py.

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const test = require("node:test");
const vm = require("node:vm");

const ROOT = join(__dirname, "..", "..");
const text = (...path) => readFileSync(join(ROOT, ...path), "utf8");
const json = (name) => JSON.parse(text("weights", "storybook", name));

const context = vm.createContext({ window: {}, document: {} });
vm.runInContext(text("sdxs", "page", "browser", "words.js"), context, "words.js");
const { lexicon, unknown, replaced, distance } = context.window.sdxsWords;
const KNOWN = lexicon({ words: json("words.json"), ...json("dictionary.json") });
const found = (prompt) => unknown(prompt, KNOWN).map(({ word, near }) => [word, ...near].join(" "));
const told = (prompt, ...expected) => assert.deepEqual([...found(prompt)], expected, prompt);

test("everything that captions say is known", () => {
  for (const file of ["captions.jsonl", "captions_unseen.jsonl"])
    for (const line of text("sdxs", "storybook", "world", file).trim().split("\n")) told(JSON.parse(line).text);
});

test("case, punctuation, hyphens and spaces do not matter", () => {
  for (const prompt of ["A Red House.", "RED-house, at  night!", "please draw a very nice “house”", "", " \n", "!?"]) told(prompt);
});

test("other words have near ones", () => {
  told("a cottage on the ocean", "cottage house", "ocean sea water");
  told("a crimson bush", "crimson red", "bush tree");
  told("a photo of my castle", "photo picture", "my a", "castle house");
});

test("in a phrase that begins as known ones do, what ends it is offered", () => {
  told("a house on the moon", "moon grass sand sea");
  told("a ball in the forest", "forest meadow");
  told("the moon", "moon ball star");
});

test("what is known in its phrase alone is marked elsewhere", () => {
  told("a ball by day under the stars");
  told("a ball by a tree", "by beside at");
});

test("misspelt and unfinished words are put right, plurals made one", () => {
  told("a hosue", "hosue house");
  told("a mush in the gras", "mush mushroom", "gras grass");
  told("red balls and boxes", "balls ball", "boxes box");
  told("two cottages", "two a", "cottages house");
});

test("where nothing comes near, some words of the kind that fits", () => {
  told("a cat on a skateboard", "cat ball star mushroom", "skateboard ball star mushroom");
  told("a wooden house", "wooden red green pink");
  assert.ok(unknown("a cat", KNOWN)[0].more && !unknown("a bush", KNOWN)[0].more);
  for (const word of ["sitting", "4k", "over", "x".repeat(1000)]) told(`house ${word}`, word);
});

test("each word is told once, wherever it stands first", () => {
  told("a cat, a Cat and a cat", "cat ball star mushroom");
});

test("a word takes the place of another, with the article that it needs", () => {
  const after = (prompt, by) => replaced(prompt, unknown(prompt, KNOWN)[0], by);
  assert.equal(after("an owl in a tree", "ball"), "a ball in a tree");
  assert.equal(after("a beige house", "orange"), "an orange house");
  assert.equal(after("Cottage at night", "house"), "House at night");
  assert.equal(after("An emu", "tree"), "A tree");
});

test("any script and any length is read, and quickly", () => {
  told("房子", "房子 ball star mushroom");
  told("a café".normalize("NFD"), `${"café".normalize("NFD")} ball star mushroom`);
  const start = Date.now();
  assert.ok(unknown("zq xw ".repeat(200_000), KNOWN).length === 2);
  assert.ok(Date.now() - start < 500);
});

test("a list without a dictionary does, too, and one without headings that are known", () => {
  const plain = lexicon({ words: { beasts: ["cat", "in the zoo"] }, fillers: [], near: {} });
  assert.deepEqual([...unknown("the cats in a zoo", plain)].map(({ word, near }) => [word, ...near].join(" ")), ["cats cat"]);
  assert.equal(unknown("a dog", plain)[0].near.length, 0);
});

test("the distance of words", () => {
  for (const [one, other, far] of [["", "abc", 3], ["house", "house", 0], ["hosue", "house", 1], ["kitten", "sitting", 3]])
    assert.equal(distance(one, other), far);
});
