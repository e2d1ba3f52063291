// A page's fields, made of the rows that sdxs/service/options.py has: how each looks, its value, its changes.
//
// A row is {field, label, place, keyword, title, needs, start, required, widget}, see web/build.py. Knows
// nothing of models, or of what a value means.

import { h } from "./elements.js";

// {name: what people read} to choose from, of a row; null where there is none to choose from.
export function choices({ widget }, about) {
  if (widget.kind !== "choice") return null;
  const found = about[widget.of];
  const names = Array.isArray(found) ? found : Object.keys(found);
  const titled = names.map((name) => [name, widget.titles[name] ?? name]);
  return Object.fromEntries(widget.none && names.length ? [["", "none"], ...titled] : titled);
}

export const lacks = (row, fields) => Boolean(row.needs.length) && !row.needs.some((name) => fields.has(name));

// The rows of which there is something to choose, as `options.shown` has them.
export function shown(rows, about, places) {
  const there = new Set();
  return rows.filter((row) => {
    const vain = row.widget.kind === "choice" && Object.keys(choices(row, about)).length < 2;
    const is = places.includes(row.place) && !vain && !lacks(row, there);
    if (is) there.add(row.field);
    return is;
  });
}

const idOf = (row) => `sdxs-${row.field.replaceAll("_", "-")}`;
const block = (row, ...parts) => h("div", { id: idOf(row), className: "block" }, ...parts);

function prompt(row, about, start) {
  const area = h("textarea", { rows: 1, value: start ?? "", placeholder: about.examples[0] ?? "", autocomplete: "off", spellcheck: false, dir: "auto" });
  area.setAttribute("aria-label", row.label);
  const grow = () => {
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight + 2, 4 * 27.6 + 30)}px`; // four lines
  };
  area.addEventListener("input", grow);
  new ResizeObserver(grow).observe(document.documentElement);
  const put = (value) => {
    area.value = value;
    grow();
  };
  return { element: block(row, area), on: area, read: () => area.value, put, grow };
}

function text(row, about, start) {
  const line = h("input", { type: "text", value: start === null ? "" : String(start), autocomplete: "off", spellcheck: false });
  const field = { on: line, read: () => line.value, put: (value) => (line.value = value) };
  const labelled = block(row, h("label", {}, h("span", { textContent: row.label }), line));
  if (!row.widget.rolls) return { ...field, element: labelled };
  const dice = h("button", { type: "button", id: idOf(row).replace("seed", "dice"), textContent: "Another" });
  const rolled = { ...field, element: h("div", { id: `${idOf(row)}-row`, className: "row" }, labelled, dice) };
  dice.addEventListener("click", () => {
    line.value = window.sdxs.roll();
    line.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return rolled;
}

function slider(row, about, start) {
  const { low, high, step } = row.widget;
  const bounds = { min: low, max: high, step };
  const range = h("input", { type: "range", ...bounds, value: start });
  const number = h("input", { type: "number", ...bounds, value: start });
  const back = h("button", { type: "button", textContent: "↺", title: "As at first" });
  range.setAttribute("aria-label", row.label);
  number.setAttribute("aria-label", `${row.label}, as a number`);
  back.setAttribute("aria-label", `${row.label} as at first`);
  let held = start; // which may lie between the steps
  const put = (value) => {
    held = Number(value);
    range.value = number.value = value;
    range.style.setProperty("--part", `${(100 * (range.value - low)) / (high - low)}%`);
  };
  const element = block(
    row,
    h("div", { className: "sdxs-slider" }, h("span", { textContent: row.label, ariaHidden: "true" }), h("span", {}, number, back)),
    h("div", { className: "sdxs-range" }, h("span", { textContent: low }), range, h("span", { textContent: high })),
  );
  const changed = (value) => {
    put(value);
    element.dispatchEvent(new Event("change"));
  };
  range.addEventListener("input", (event) => (event.stopPropagation(), changed(range.value)));
  number.addEventListener("input", (event) => {
    event.stopPropagation();
    if (number.value !== "" && number.valueAsNumber >= low && number.valueAsNumber <= high) changed(number.value);
  });
  number.addEventListener("change", (event) => (event.stopPropagation(), put(held)));
  back.addEventListener("click", () => changed(row.start));
  put(start);
  return { element, on: element, read: () => held, put };
}

function checkbox(row, about, start) {
  const box = h("input", { type: "checkbox", checked: start });
  const element = block(row, h("label", { className: "sdxs-check" }, box, h("span", { textContent: row.label })));
  return { element, on: box, read: () => box.checked, put: (value) => (box.checked = value) };
}

function radio(row, about, start) {
  const boxes = Object.entries(choices(row, about)).map(([value, label]) => {
    const box = h("input", { type: "radio", name: row.field, value, checked: value === start });
    return [box, h("label", {}, box, h("span", { textContent: label }))];
  });
  const group = h("div", { className: "sdxs-radio" }, ...boxes.map(([, label]) => label));
  const element = h("fieldset", { id: idOf(row), className: "block" }, h("legend", { textContent: row.label }), group);
  const read = () => boxes.find(([box]) => box.checked)?.[0].value ?? "";
  return { element, on: element, read, put: (value) => boxes.forEach(([box]) => (box.checked = box.value === value)) };
}

const WIDGETS = { prompt, text, slider, switch: checkbox, choice: radio };

// {row, start, choices, element, read, put, listen} of a row; start: what it is at first, where that is not as
// the row has it.
export function field(row, about, start = row.start) {
  const names = choices(row, about);
  const first = start ?? (names ? Object.keys(names)[0] : row.widget.kind === "prompt" || row.widget.kind === "text" ? "" : start);
  const made = WIDGETS[row.widget.kind](row, about, first);
  const listen = (changed) => {
    for (const event of made.on.matches("fieldset, div") ? ["change"] : ["input", "change"]) made.on.addEventListener(event, changed);
  };
  return { row, start: made.read(), choices: names && Object.keys(names), element: made.element, read: made.read, put: made.put, grow: made.grow, listen };
}
