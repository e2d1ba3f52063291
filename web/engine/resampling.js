// Planes {data, width, height} made smaller or larger as OpenCV's resize does: INTER_AREA, INTER_LINEAR.
//
// Whole numbers stay whole, rounded to the nearest; floating ones are computed in float64.

import { plane, roundEven } from "./morphology.js";

export const byArea = (from, width, height) => resampled(from, width, height, shares);
export const linearly = (from, width, height) => resampled(from, width, height, neighbours);

function resampled(from, width, height, weights) {
  const across = weights(from.width, width);
  const down = weights(from.height, height);
  const rows = new Float64Array(from.height * width); // already as wide as it will be
  for (let row = 0; row < from.height; row++)
    for (const [column, parts] of across.entries()) {
      let sum = 0;
      for (const [at, share] of parts) sum += share * from.data[row * from.width + at];
      rows[row * width + column] = sum;
    }
  const Kind = from.data.constructor;
  const whole = Kind === Uint8Array;
  const out = plane(width, height, new Kind(width * height));
  for (const [row, parts] of down.entries())
    for (let column = 0; column < width; column++) {
      let sum = 0;
      for (const [at, share] of parts) sum += share * rows[at * width + column];
      out.data[row * width + column] = whole ? roundEven(sum) : sum;
    }
  return out;
}

// Of each place in a line of `to`, which places in one of `from` it covers, and its share of each.
function shares(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, place) => {
    const [begin, end] = [place * scale, Math.min((place + 1) * scale, from)];
    const parts = [];
    for (let at = Math.floor(begin); at < end - 1e-9; at++)
      parts.push([at, (Math.min(end, at + 1) - Math.max(begin, at)) / (end - begin)]);
    return parts;
  });
}

// Of each place in a line of `to`, between which two in one of `from` its middle lies.
function neighbours(from, to) {
  return Array.from({ length: to }, (_, place) => {
    const middle = Math.min(Math.max(((place + 0.5) * from) / to - 0.5, 0), from - 1);
    const at = Math.min(Math.floor(middle), from - 1);
    const share = middle - at;
    return share ? [[at, 1 - share], [at + 1, share]] : [[at, 1]];
  });
}
