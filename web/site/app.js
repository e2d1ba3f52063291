// The page: made of what the build wrote down and of what a model says of itself, and connected to it.
//
// A model is a folder that sdxs.export wrote: the site's own, or one that the address names (?model=).

import { keepFolder } from "./folder.js";
import { field, shown } from "./fields.js";
import { loading } from "./loading.js";
import { startModel } from "./model.js";
import { ASKED } from "./requests.js";
import { makeServer, mishap, sentence } from "./server.js";
import { view } from "./view.js";

const UNKEPT = "This browser keeps nothing of the page: the model is fetched anew at each visit, and it does not open offline.";
const NEWER = "There is a newer version of this page: reload it when it suits you.";
const UNREAD = "cannot be read: look whether you are connected, then load the page again";
const UNNAMED = "is no address of a folder that sdxs.export wrote";

const { sdxs } = window;
const { layout, line } = document.body.dataset;
const json = (path) =>
  fetch(path).then((answer) => answer.json()).catch(() => {
    throw Object.assign(new Error(`${path} ${UNREAD}`), { kind: "missing" });
  });
const absolute = (url) => new URL(url, window.location.href).href;

// Addresses in a tree of them, as a worker needs them.
const addressed = (tree) =>
  Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, typeof value === "string" ? absolute(value) : typeof value === "object" ? addressed(value) : value]));

// Where the model is; "" for the site's own.
function named() {
  const said = new URLSearchParams(window.location.search).get("model");
  if (!said) return "";
  try {
    return absolute(said.endsWith("/") ? said : `${said}/`);
  } catch {
    throw Object.assign(new Error(`${said} ${UNNAMED}`), { kind: "input" });
  }
}

const told = (text, kind) => (sdxs.server ? sdxs.say(text, kind) : (document.getElementById("sdxs-start").textContent = text));

async function start() {
  const site = await json("site.json");
  const folder = named();
  const bar = loading();
  const model = startModel(absolute("engine/worker.js"), bar.report);
  const opening = model.call("open", { model: folder || absolute("model/"), runtimes: addressed(site.runtimes) });
  const ready = opening.then(() => (name, given) => model.call(name, given));
  ready.catch(() => {}); // said below, and by whatever waits for it
  const info = folder ? (await opening).info : await json("model/sdxs.json");
  try {
    connect(site, info, ready, folder ? null : site.welcome);
  } catch (error) {
    await opening; // which may have a better reason: what the model says of itself is odd
    throw error;
  }
  try {
    const { backend, threads, note } = await opening;
    const how = backend === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
    document.querySelector(".sdxs-facts").textContent = [how, ...info.about.facts].join(" · ");
    if (note) sdxs.say(sentence(note), "hint");
    keep();
  } finally {
    bar.end();
  }
}

// The elements, the fields, and all that connects them with the scripts of the page.
function connect(site, info, ready, welcome) {
  const about = { ...info.about, notes: site.notes, conditions: info.controls.includes("sketch") ? ["sketch"] : [] };
  const can = ({ keyword, needs }) => (!keyword || keyword in ASKED) && !(layout === "text" && needs.includes("drawing"));
  const rows = shown(site.rows.filter(can), about, site.layouts[layout]);
  const starts = layout === "canvas" ? { prompt: about.examples[0] } : {};
  const fields = Object.fromEntries(rows.filter(({ widget }) => widget.kind !== "picture").map((row) => [row.field, field(row, about, starts[row.field])]));
  const { root, parts } = view(layout, line, fields, about, site.templates, layout === "text" ? welcome : null);
  document.querySelector("main").replaceWith(root);
  const { prompt } = fields;
  prompt.grow();

  const settings = Object.fromEntries(Object.entries(fields).map(([name, { start, choices }]) => [name, { start, choices }]));
  const values = () => Object.values(fields).map((one) => one.read());
  const changed = () => {
    window.sdxsWords.read(prompt.read());
    sdxs.changed(settings, values());
  };
  const put = (list) => {
    Object.values(fields).forEach((one, at) => list[at] !== undefined && one.put(list[at]));
    changed();
  };
  const set = (name, value) => {
    fields[name].put(value);
    changed();
  };
  for (const one of Object.values(fields)) one.listen(changed);

  const server = makeServer(ready, rows, about, site);
  window.sdxsKeys.connect(parts.head);
  sdxs.connect(parts.stage, server, layout === "text" ? welcome?.request : null);
  window.sdxsLinks.connect(parts.stage, sdxs, about.checkpoint);
  for (const script of [window.sdxsHeard, window.sdxsRoom, window.sdxsNumbers]) script.connect(parts.stage);
  window.sdxsActing.connect(parts.stage, sdxs);
  if (parts.canvas) {
    window.sdxsCanvas.connect(parts.canvas, sdxs);
    window.sdxsKeys.add(window.sdxsCanvas.KEYS);
  }
  window.sdxsRewind.connect(parts.rewind, sdxs, `${about.checkpoint} ${layout}`);
  window.sdxsDropped.connect(parts.rewind);
  window.sdxsVariety.connect(parts.variety, server, () => set("seed", window.sdxsVariety.chosen()), sdxs);
  for (const [look, act] of [["examples", sdxs.choose], ["words", sdxs.append]]) {
    const props = {};
    if (parts[look]) sdxs.chips(parts[look], props, () => set("prompt", act(props.value, prompt.read())));
  }
  if (parts.unknown) {
    const props = { lexicon: about };
    window.sdxsWords.connect(parts.unknown, props, () => set("prompt", props.value));
  }
  sdxs.returns(() => put(sdxs.brought()));
  sdxs.begin(settings, values()).then(put);
  prompt.element.firstChild.focus({ preventScroll: true });
}

// What was not fetched yet is, so that the page opens offline, too; and whether that is kept is said, but not
// in the place of a warning.
function keep() {
  const { serviceWorker } = navigator;
  const { dataset } = document.getElementById("sdxs-note");
  const hint = (text) => ["warning", "error"].includes(dataset.kind) || sdxs.say(text, "hint");
  if (!window.sdxsKeeps) return hint(UNKEPT);
  serviceWorker.addEventListener("message", ({ data }) => data.kept === false && hint(UNKEPT));
  serviceWorker.addEventListener("controllerchange", () => hint(NEWER));
  serviceWorker.controller.postMessage("keep");
}

start().catch((error) => {
  const { note, kind } = mishap(error);
  told(note, kind);
});
keepFolder(told);
