// Planes {data, width, height} made smaller or larger as OpenCV's resize does: INTER_AREA, INTER_LINEAR.
//
// Bytes stay bytes.

import { bytes, plane, roundEven } from "./morphology.js";

export function byArea(from, width, height) {
  const out = weighed(from, width, height, shares);
  return plane(width, height, from.data instanceof Uint8Array ? bytes(out, roundEven) : out);
}

export function linearly(from, width, height) {
  if (from.data instanceof Uint8Array) return inFixedPoint(from, width, height);
  return plane(width, height, weighed(from, width, height, neighbours));
}

function weighed({ data, width, height }, wide, high, weights) {
  const across = summed(data, width, height, weights(width, wide)); // turned: columns of `data`
  return summed(across, height, wide, weights(height, high));
}

// Each row as so many weighted sums, as columns.
function summed(data, width, height, sums) {
  const out = new Float32Array(sums.length * height);
  for (let to = 0; to < sums.length; to++) {
    const { first, parts } = sums[to];
    for (let row = 0; row < height; row++) {
      let sum = 0;
      for (let at = 0; at < parts.length; at++) sum = Math.fround(sum + Math.fround(parts[at] * data[row * width + first + at]));
      out[to * height + row] = sum;
    }
  }
  return out;
}

// Of each place in a line of `to`, which places in one of `from` it covers, and its share of each.
function shares(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, place) => {
    const [begin, end] = [place * scale, Math.min((place + 1) * scale, from)];
    const first = Math.floor(begin);
    const parts = [];
    for (let at = first; at < end - 1e-9; at++) parts.push((Math.min(end, at + 1) - Math.max(begin, at)) / (end - begin));
    return { first, parts: new Float32Array(parts) };
  });
}

// Of each place in a line of `to`, between which two in one of `from` its middle lies.
function neighbours(from, to) {
  return Array.from({ length: to }, (_, place) => {
    const middle = Math.min(Math.max(((place + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.floor(middle);
    const share = middle - first;
    return { first, parts: new Float32Array(share ? [1 - share, share] : [1]) };
  });
}

// Bytes between bytes, with OpenCV's shares of 2048 and its truncations.
function inFixedPoint({ data, width, height }, wide, high) {
  const places = (from, to) =>
    Array.from({ length: to }, (_, place) => {
      const middle = Math.fround(((place + 0.5) * from) / to - 0.5);
      const first = Math.floor(middle);
      const [near, far] = [first + 1 - middle, middle - first].map((share) => roundEven(share * 2048));
      return { first, before: Math.max(first, 0), behind: Math.min(first + 1, from - 1), near, far };
    });
  const columns = places(width, wide);
  const across = new Int32Array(wide * height);
  for (let column = 0; column < wide; column++) {
    const { first, before, behind, near, far } = columns[column];
    const inside = first >= 0 && first < width - 1;
    for (let row = 0; row < height; row++) {
      const here = data[row * width + before];
      across[row * wide + column] = inside ? near * here + far * data[row * width + behind] : 2048 * here;
    }
  }
  const out = plane(wide, high);
  for (const [row, { before, behind, near, far }] of places(height, high).entries())
    for (let column = 0; column < wide; column++) {
      const upper = (near * (across[before * wide + column] >> 4)) >> 16;
      const lower = (far * (across[behind * wide + column] >> 4)) >> 16;
      out.data[row * wide + column] = (upper + lower + 2) >> 2;
    }
  return out;
}
