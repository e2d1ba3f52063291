// The lines of a drawing as a control follows them, white on black: what sdxs/drawing.py makes of the canvas.
//
// Its constants and steps are the same, with the same results but for roundings; what is transparent shows white
// paper. Photos are no drawings: their outlines, edges and depths are Python's alone. Knows nothing of networks.

import { EngineError } from "./errors.js";
import { blurred, canny } from "./edges.js";
import {
  bytes, combined, dilated, dilatedByDiamond, dilatedByEllipse, eroded, erodedByDiamond, minus, plane, roundEven,
} from "./morphology.js";
import { byArea, linearly } from "./resampling.js";
import { crests, regions } from "./regions.js";
import { median, percentile } from "./ranks.js";

const WORKING = 768; // pixels of the longer side at which a drawing is looked at
const THICK = 0.08; // of that side: what is wider is no line but a patch, and has an outline
const FAINT = 10; // of 255: what differs less from its ground is no line
const SPECK = 10; // pixels of what is too small to have been drawn
const LINE = 2; // pixels that a line is at least wide in a control image
const POLARITIES = ["auto", "ink", "chalk"]; // dark lines on light ground, or the other way round

// Whether all pixels of a picture (RGBA) are the same.
export function isBlank({ data }) {
  const pixels = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  return pixels.every((pixel) => pixel === pixels[0]);
}

// The control image, {data (RGBA), width, height} of `size`, of a drawing {data (RGBA), width, height}, the whole of
// which is fitted in. Raises EngineError "nothing" where no line is to be seen.
export function fromDrawing(drawing, [width, height], polarity = "auto") {
  if (!POLARITIES.includes(polarity))
    throw new EngineError("input", `polarity must be one of ${POLARITIES.join(", ")}, not '${polarity}'`);
  let grey = asDrawn(greyOf(drawing));
  if (polarity === "chalk" || (polarity === "auto" && isChalk(grey))) grey = combined((value) => 255 - value, grey);
  const thick = thickOf(grey);
  const without = erodedByOctagon(dilatedByOctagon(grey, thick), thick);
  let page = drawn(minus(without, grey));
  if (spread(without) > FAINT) {
    // there are patches, too
    const patches = canny(blurred(dilatedByOctagon(erodedByOctagon(without, thick), thick)), 40, 100);
    page = combined(Math.max, page, drawn(dilated(patches, 2)));
  }
  if (!page.data.some(Boolean))
    throw new EngineError("nothing", "there are no lines to follow in the drawing: it is blank, or they are too faint");
  return picture(fitted(page, width, height));
}

// Grey (H, W) of RGBA on white paper, with Pillow's weights.
function greyOf({ data, width, height }) {
  const grey = plane(width, height);
  const onPaper = (value, alpha) => (alpha === 255 ? value : Math.round(255 + ((value - 255) * alpha) / 255));
  for (let at = 0, from = 0; from < data.length; at++, from += 4) {
    const alpha = data[from + 3];
    const [red, green, blue] = [onPaper(data[from], alpha), onPaper(data[from + 1], alpha), onPaper(data[from + 2], alpha)];
    grey.data[at] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  }
  return grey;
}

// Shrunk to WORKING so that thin lines stay: at last each pixel keeps the extreme of those it stands for.
function asDrawn(grey) {
  const shrink = Math.max(grey.width, grey.height) / WORKING;
  if (shrink <= 1) return grey;
  const [width, height] = [grey.width, grey.height].map((side) => Math.max(8, roundEven(side / shrink)));
  const [darkest, lightest] = [eroded, dilated].map((way) => byArea(way(grey, 2), width, height));
  const ground = groundOf(byArea(grey, width, height));
  const extreme = (dark, light, under) => (Math.abs(dark - under) >= Math.abs(light - under) ? dark : light);
  return combined(extreme, darkest, lightest, ground);
}

// Whether what is drawn is lighter than what it is drawn on: thin things say so, patches only without them.
function isChalk(grey) {
  const [ground, thick] = [groundOf(grey), thickOf(grey)];
  const [darker, lighter] = [minus(ground, grey), minus(grey, ground)];
  const hats = [minus(eroded(dilated(grey, thick), thick), grey), minus(grey, dilated(eroded(grey, thick), thick))];
  const [dark, light] = [darker, lighter].map((part, at) => much(combined(Math.min, part, hats[at])));
  return light || dark ? light > dark : much(lighter) > much(darker);
}

function much({ data }) {
  const faint = faintOf(data);
  let sum = 0;
  for (let at = 0; at < data.length; at++) if (data[at] > faint) sum += data[at];
  return sum;
}

// The side of a square and the radius of a diamond, together an octagon: nearly a disc.
function octagon(side) {
  const diamond = roundEven((side >> 1) * (2 - Math.SQRT2));
  return [2 * ((side >> 1) - diamond) + 1, diamond];
}

function dilatedByOctagon(grey, side) {
  const [square, diamond] = octagon(side);
  return dilatedByDiamond(dilated(grey, square), diamond);
}

function erodedByOctagon(grey, side) {
  const [square, diamond] = octagon(side);
  return erodedByDiamond(eroded(grey, square), diamond);
}

// The side, odd, of what is no line any more.
const thickOf = ({ width, height }) => 2 * Math.max(2, roundEven((THICK * Math.max(width, height)) / 2)) + 1;

// What a drawing is drawn on: the usual grey around each pixel.
function groundOf(grey) {
  const [side, reach] = [96, 24];
  const small = byArea(grey, side, side);
  const wide = side + 2 * reach; // as in a mirror
  const mirrored = Array.from({ length: wide }, (_, at) => side - 1 - Math.abs(side - 1 - Math.abs(at - reach)));
  const around = plane(side, side);
  const counts = new Int32Array(256);
  let value = 0; // the middle one of those that are counted
  let less = 0; // how many are less
  for (let row = 0; row < side; row++) {
    counts.fill(0);
    less = 0;
    const count = (column, step) => {
      for (let down = 0; down <= 2 * reach; down++) {
        const grey = small.data[mirrored[row + down] * side + mirrored[column]];
        counts[grey] += step;
        if (grey < value) less += step;
      }
    };
    for (let column = 0; column < 2 * reach; column++) count(column, 1);
    for (let column = 0; column < side; column++) {
      count(column + 2 * reach, 1);
      const middle = ((2 * reach + 1) ** 2) >> 1;
      while (less > middle) less -= counts[--value];
      while (less + counts[value] <= middle) less += counts[value++];
      around.data[row * side + column] = value;
      count(column, -1);
    }
  }
  return linearly(around, grey.width, grey.height);
}

// How much a pixel must differ from its ground to count: more than noise does.
function faintOf(data) {
  const usual = median(data);
  return usual + Math.max(FAINT, 7 * median(bytes(data, (value) => roundEven(Math.abs(value - usual)))));
}

// How sure a line is, (H, W) in [0, 1], by how far it lies from its ground.
function drawn({ data, width, height }) {
  const faint = faintOf(data);
  const { names, areas } = regions(bytes(data, (value) => (value > faint ? 1 : 0)), width, height);
  const least = Math.min(SPECK, Math.floor(data.length / 500));
  const kept = plane(width, height, bytes(names, (name) => (name && areas[name] >= least ? 1 : 0)));
  const out = plane(width, height, new Float32Array(data.length));
  const strengths = data.filter((_, at) => kept.data[at]);
  if (!strengths.length) return out;
  const strongest = 0.6 * percentile(strengths, 90);
  const around = dilated(kept, 3); // their soft edges
  for (let at = 0; at < data.length; at++)
    if (around.data[at]) out.data[at] = Math.min(1, Math.max(0, (data[at] - faint / 2) / strongest));
  return out;
}

// Lines (H, W) in [0, 1] made to fit into the size, at least LINE pixels wide there.
function fitted(lines, width, height) {
  const shrink = Math.max(lines.width / width, lines.height / height);
  const ink = bytes(lines.data, (value) => (value > 0.5 ? 1 : 0));
  const halves = crests(ink, lines.width, lines.height);
  if (halves.length) {
    const missing = roundEven(LINE * shrink - (2 * percentile(halves, 25) - 1)); // of the thinner lines
    if (missing > 0) lines = dilatedByEllipse(lines, missing + 1);
  }
  const sides = [lines.width, lines.height].map((side) => Math.max(1, roundEven(side / shrink)));
  const small = (shrink > 1 ? byArea : linearly)(lines, ...sides);
  const page = plane(width, height, new Float32Array(width * height));
  const [left, top] = [(width - sides[0]) >> 1, (height - sides[1]) >> 1];
  for (let row = 0; row < sides[1]; row++)
    for (let column = 0; column < sides[0]; column++)
      page.data[(top + row) * width + left + column] = Math.min(1, 1.3 * small.data[row * sides[0] + column]);
  return page;
}

const spread = ({ data }) => data.reduce((a, b) => Math.max(a, b)) - data.reduce((a, b) => Math.min(a, b));

function picture({ data, width, height }) {
  const out = new Uint8ClampedArray(4 * data.length).fill(255);
  for (let at = 0; at < data.length; at++) out[4 * at] = out[4 * at + 1] = out[4 * at + 2] = roundEven(255 * data[at]);
  return { data: out, width, height };
}
