// What may be asked of a model, checked: as sdxs/arguments.py does, in its words.
//
// Knows nothing of networks.

import { EngineError } from "./errors.js";

const LARGEST_SEED = 2n ** 63n - 1n;
const LARGEST_SIDE = 2048; // pixels
const LARGEST_SCALE = 2;

const wrong = (message) => {
  throw new EngineError("input", message);
};

// One picture: {prompt, seed (BigInt), size, decoder, style, styleScale, control, controlScale, toPrompt, toSeed,
// walk}; a style or control without effect is "". info: sdxs.json.
export function checked(info, asked) {
  const { decoders, styles, controls } = info;
  const style = named("style", asked.style, styles);
  const control = named("control", asked.control, controls);
  const styleScale = within("style_scale", asked.styleScale ?? 1, LARGEST_SCALE);
  const controlScale = within("control_scale", asked.controlScale ?? 1, LARGEST_SCALE);
  const seed = seedOf(asked.seed ?? 0);
  const prompt = said("prompt", asked.prompt);
  const toPrompt = asked.toPrompt == null ? prompt : said("to_prompt", asked.toPrompt);
  const toSeed = asked.toSeed == null ? seed : seedOf(asked.toSeed);
  const leads = asked.toPrompt != null || asked.toSeed != null;
  return {
    prompt, seed, toPrompt, toSeed,
    size: sizeOf(asked.size ?? info.size, info),
    decoder: named("decoder", asked.decoder, decoders) || decoders[0],
    style: styleScale ? style : "",
    styleScale,
    control: controlScale ? control : "",
    controlScale,
    walk: leads ? within("walk", asked.walk ?? 0.5, 1) : 0,
  };
}

function named(what, value, known) {
  if (!value) return "";
  if (known.includes(value)) return value;
  return wrong(`there is no ${what} '${value}': ${known.length ? `there are ${known.join(", ")}` : "this model has none"}`);
}

function within(what, value, most) {
  const number = typeof value === "number" ? value : NaN;
  if (!(number >= 0 && number <= most)) wrong(`${what} must be from 0 to ${most}, not ${value}`);
  return number;
}

function seedOf(value) {
  const digits = String(value);
  if (/^\d{1,19}$/.test(digits) && BigInt(digits) <= LARGEST_SEED) return BigInt(digits);
  return wrong(`seed must be a whole number from 0 to ${LARGEST_SEED}, not ${digits.slice(0, 40)}`);
}

function said(what, text) {
  if (typeof text !== "string" || !text.trim()) wrong(`the ${what} is empty: say what you would like to see`);
  return text;
}

function sizeOf(size, { multiple, factor }) {
  const step = multiple ?? factor;
  const [width, height] = size;
  const fits = (side) => Number.isInteger(side) && side >= step && side <= LARGEST_SIDE && side % step === 0;
  if (fits(width) && fits(height)) return [width, height];
  const rule = `each side is a multiple of ${step} from ${step} to ${LARGEST_SIDE} pixels`;
  return wrong(`size ${width} x ${height} cannot be drawn: ${rule}`);
}
