// What is where on a page, as sdxs/page/ui.py has it: the fields, and the page's own html files filled.
//
// Knows nothing of what a change sets going.

import { h } from "./elements.js";
import { element, escaped } from "./template.js";

const CANVAS_SIDE = [512, 1024]; // pixels of a canvas's longer side, at least and at most
const SEEDS = 8;
const BLANK = "Type what you would like to see, and the picture follows.";
const TIMED = "The time beside the dot is the painting alone: from the request's turn to the encoded picture.";

// {root, parts}: what goes into the document, and our own elements by their names. fields: {name: field}
// of fields.js; welcome: {picture, request}, what is shown until something is painted, or null.
export function view(layout, line, fields, about, templates, welcome) {
  const [width, height] = about.size;
  const size = { width, height };
  const parts = {};
  const own = (name, scope = {}, id = `sdxs-${name}`) => (parts[name] = element(templates[name], scope, id));
  const row = (id, className, ...children) => h("div", { id, className: `row ${className}` }, ...children);
  const column = (id, ...children) => h("div", { id, className: "column" }, ...children.filter(Boolean));
  const at = (...places) => Object.values(fields).filter((field) => places.includes(field.row.place)).map((field) => field.element);
  const form = (...places) => at(...places).length && h("div", { className: "form" }, ...at(...places));

  const chips = (look, title, groups) => {
    if (!Object.values(groups).some((texts) => texts.length)) return null;
    const scope = { look, title, groups: Object.entries(groups).map(([name, texts]) => ({ name, texts })) };
    return (parts[look] = element(templates.chips, scope, `sdxs-${look}`));
  };
  const walk = () => {
    const there = form("walk");
    return there && h("details", { id: "sdxs-walk-part" }, h("summary", {}, h("span", { textContent: "Walk" })), there);
  };
  const stage = () => {
    const made = own("stage", { ...size, follows: layout === "canvas", compares: about.styles.length > 0, value: { note: layout === "canvas" ? "" : BLANK, picture: welcome?.picture, took: welcome && "An example" } });
    made.querySelector("[data-number=network]").parentElement.remove(); // there is none
    made.querySelector("#sdxs-numbers p").textContent = TIMED;
    const bar = h("progress", { max: 1, value: 0, ariaLabel: "The model, on its way" });
    made.querySelector(".sdxs-frame").append(h("div", { id: "sdxs-loading", hidden: true }, h("span"), bar));
    return made;
  };
  const canvas = () => {
    const longer = Math.max(width, height);
    const scale = Math.min(Math.max(longer, CANVAS_SIDE[0]), CANVAS_SIDE[1]) / longer;
    return own("canvas", { width: Math.round(width * scale), height: Math.round(height * scale), tip: about.tip });
  };

  const head = own("head", { line });
  head.querySelector("#sdxs-keys").before(links());
  const rewind = own("rewind");
  const seed = () => [...at("seed"), own("variety", { ...size, seeds: [...Array(SEEDS).keys()] })];
  const examples = chips("examples", "Try", { "": about.examples });
  const words = chips("words", "Words it knows", about.words);
  const doubt = Object.keys(about.words).length ? own("unknown", {}, "sdxs-unknown-line") : "";
  parts.about = facts(about);

  const main = h("main");
  if (layout === "canvas") {
    main.append(head, ...at("prompt"), doubt);
    main.append(row("sdxs-columns", "sdxs-drawn", column("sdxs-left", canvas(), form("strength")), column("sdxs-right", stage())), rewind);
    main.append(row("sdxs-below", "", column("", form("followed"), ...seed(), form("more"), walk(), parts.about), column("", examples, words)));
  } else {
    const left = column("sdxs-left", ...at("prompt"), doubt, stage(), rewind, examples);
    main.append(head, row("sdxs-columns", "", left, column("sdxs-right", ...seed(), form("more"), walk(), words, parts.about)));
  }
  return { root: main, parts };
}

// The other page of the site, with the same model.
function links() {
  const here = document.body.dataset.layout;
  const pages = { text: ["Type", "index.html"], canvas: ["Draw", "sketch.html"] };
  const made = Object.entries(pages).map(([layout, [textContent, page]]) => {
    const link = h("a", { textContent, href: page + window.location.search });
    if (layout === here) link.ariaCurrent = "page";
    return link;
  });
  return h("nav", { id: "sdxs-pages", ariaLabel: "Pages" }, ...made);
}

// What About.html says, but for what belongs to a server.
function facts({ title, facts: found, safety, notes }) {
  const made = h("section", { id: "sdxs-about", ariaLabel: "The model" });
  const lines = [`<h2>${escaped(title)}</h2>`, `<p class="sdxs-facts">${escaped(found.join(" · "))}</p>`, ...notes.map((note) => `<p>${escaped(note)}</p>`)];
  if (safety) lines.push(`<p>${escaped(safety)}</p>`);
  made.innerHTML = lines.join("");
  return made;
}
