// Edges as OpenCV's Canny finds them in a plane {data, width, height} of bytes, after its Gaussian blur.
//
// J. Canny, "A computational approach to edge detection" (1986). Knows nothing of drawings.

import { bytes, plane } from "./morphology.js";

const TAPS = [0, 2, 9, 28, 55, 68, 55, 28, 9, 2, 0]; // of 256: a Gaussian of sigma 1.5, in OpenCV's fixed point
const TAN_22 = Math.trunc(0.4142135623730950488 * 2 ** 15 + 0.5);

// A Gaussian blur of sigma 1.5 pixels; the plane goes on as in a mirror.
export function blurred({ data, width, height }) {
  const across = weighed(data, width, height); // turned
  const sums = weighed(across, height, width);
  return plane(width, height, bytes(sums, (sum) => (sum + 2 ** 15) >> 16));
}

// Each row under the taps, as columns.
function weighed(data, width, height) {
  const half = TAPS.length >> 1;
  const line = new Int32Array(width + 2 * half);
  const out = new Int32Array(data.length);
  for (let row = 0; row < height; row++) {
    for (let at = 0; at < line.length; at++) line[at] = data[row * width + mirrored(at - half, width)];
    for (let at = 0; at < width; at++) {
      let sum = 0;
      for (let tap = 0; tap < TAPS.length; tap++) sum += TAPS[tap] * line[at + tap];
      out[at * height + row] = sum;
    }
  }
  return out;
}

// 255 on edges: pixels whose gradient |dx| + |dy| is a crest above `high`, and those above `low` beside one.
export function canny(from, low, high) {
  const { width, height } = from;
  const [dx, dy, size] = gradients(from);
  const strength = (row, column) =>
    row < 0 || column < 0 || row >= height || column >= width ? 0 : size[row * width + column];
  const crest = new Uint8Array(size.length); // 1 perhaps, 2 surely
  const sure = [];
  for (let row = 0, at = 0; row < height; row++)
    for (let column = 0; column < width; column++, at++) {
      const here = size[at];
      if (here <= low) continue;
      const x = Math.abs(dx[at]);
      const y = Math.abs(dy[at]) << 15;
      const flat = x * TAN_22;
      let before, after; // whichever lies across the edge
      if (y < flat) [before, after] = [strength(row, column - 1), strength(row, column + 1)];
      else if (y > flat + (x << 16)) [before, after] = [strength(row - 1, column), strength(row + 1, column)];
      else {
        const lean = (dx[at] ^ dy[at]) < 0 ? -1 : 1;
        [before, after] = [strength(row - 1, column - lean), strength(row + 1, column + lean)];
        if (here > before && here > after) mark(at, here);
        continue;
      }
      if (here > before && here >= after) mark(at, here);
    }
  function mark(at, here) {
    crest[at] = here > high ? 2 : 1;
    if (here > high) sure.push(at);
  }
  while (sure.length) {
    const at = sure.pop();
    const column = at % width;
    for (const down of [-width, 0, width])
      for (const right of [-1, 0, 1]) {
        const beside = at + down + right;
        if (column + right < 0 || column + right >= width || crest[beside] !== 1) continue;
        crest[beside] = 2;
        sure.push(beside);
      }
  }
  return plane(width, height, bytes(crest, (kind) => (kind === 2 ? 255 : 0)));
}

// Sobel's derivatives, and the sum of their sizes. The outermost pixels are repeated outside.
function gradients({ data, width, height }) {
  const [dx, dy, size] = [0, 0, 0].map(() => new Int32Array(data.length));
  for (let row = 0, at = 0; row < height; row++) {
    const [above, here, below] = [Math.max(row - 1, 0), row, Math.min(row + 1, height - 1)].map((each) => each * width);
    for (let column = 0; column < width; column++, at++) {
      const [left, right] = [Math.max(column - 1, 0), Math.min(column + 1, width - 1)];
      const rising = data[below + right] - data[above + left]; // along one diagonal
      const falling = data[above + right] - data[below + left]; // along the other
      dx[at] = rising + falling + 2 * (data[here + right] - data[here + left]);
      dy[at] = rising - falling + 2 * (data[below + column] - data[above + column]);
      size[at] = Math.abs(dx[at]) + Math.abs(dy[at]);
    }
  }
  return [dx, dy, size];
}

// A place beyond an end of a line, reflected in its last pixel.
function mirrored(at, length) {
  if (length === 1) return 0;
  while (at < 0 || at >= length) at = at < 0 ? -at : 2 * (length - 1) - at;
  return at;
}
