// From a page's request to what counts of it, and to what the model is asked: as sdxs/service/options.py has it.
//
// Knows nothing of how a picture is painted.

import { filled } from "./labels.js";
import { choices, lacks } from "./fields.js";

const LARGEST_SEED = 2n ** 63n - 1n;
const HALFWAY = 0.5;

// What the model in the browser understands beside the prompt: keyword of an option -> its argument.
export const ASKED = {
  seed: "seed", style: "style", style_scale: "styleScale", control_image: "drawing", control_scale: "controlScale",
  decoder: "decoder", to_prompt: "toPrompt", to_seed: "toSeed", walk: "walk",
};

export class Mistake extends Error {}

const NUMBER = /^[+-]?\d+(\.\d+)?$/;
const shown = (value) => (typeof value === "string" && !NUMBER.test(value) ? `'${value.length > 60 ? `${value.slice(0, 59)}…` : value}'` : String(value));

function seed(name, value) {
  const text = String(value).trim();
  const number = /^\d{1,30}$/.test(text) ? BigInt(text) : -1n;
  if (number < 0n || number > LARGEST_SEED) throw new Mistake(`${name} must be a whole number from 0 to ${LARGEST_SEED}, not ${shown(value)}`);
  return String(number);
}

function scale(name, value, { low, high }) {
  if (typeof value !== "number" || !(value >= low && value <= high)) throw new Mistake(`${name} must be from ${low} to ${high}, not ${shown(value)}`);
  return value;
}

function check(row, about, value) {
  const name = row.field.replaceAll("_", " ");
  const names = choices(row, about);
  if (names && !Object.hasOwn(names, value)) throw new Mistake(`there is no ${name} ${shown(value)} here`);
  if (row.widget.kind === "slider") return scale(name, value, row.widget);
  return row.widget.rolls ? seed(name, value) : value;
}

// What counts of a request, {field: value}; whatever else it says is dropped. Throws a Mistake.
export function checked(rows, about, request) {
  const given = {};
  const there = new Set();
  for (const row of rows) {
    if (lacks(row, there)) continue;
    const value = request[row.field];
    const blank = value === undefined || value === null || (typeof value === "string" && !value.trim());
    if (row.required || !blank) given[row.field] = check(row, about, value ?? "");
    else if (row.start !== null) given[row.field] = row.start;
    if (Object.hasOwn(given, row.field)) there.add(row.field);
  }
  return given;
}

// What was given, as if nothing had been said of `field`.
export function without(field, given, rows) {
  const { [field]: _, ...left } = given;
  const there = new Set(Object.keys(left));
  for (const row of rows) if (row.needs.includes(field) && lacks(row, there)) delete left[row.field];
  return left;
}

// What the model is asked for what was given; drawing: its pixels, or null.
export function arguments_(given, rows, about, drawing) {
  const asked = { prompt: filled(given, about) };
  for (const { field, keyword } of rows) {
    const name = ASKED[keyword];
    if (name && Object.hasOwn(given, field) && field !== "drawing") asked[name] = given[field];
  }
  if (drawing) Object.assign(asked, { control: "sketch", drawing });
  if (Object.hasOwn(given, "to_prompt")) asked.toPrompt = filled(given, about, "to_prompt");
  if (asked.toPrompt !== undefined || asked.toSeed !== undefined) asked.walk ??= HALFWAY;
  return asked;
}
