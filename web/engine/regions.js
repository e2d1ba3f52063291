// What hangs together in a plane {data, width, height} of ones and zeros, and how far it is to the next zero.
//
// Knows nothing of drawings.

import { plane } from "./morphology.js";

const STRAIGHT = 62587; // of 65536: a step along a row or a column (0.955)
const SLANTED = 89738; // and one across (1.3693)

// The number of the region of each pixel, 0 where it is zero; pixels that touch at a corner hang together.
export function regions({ data, width, height }) {
  const names = plane(width, height, new Int32Array(data.length));
  let name = 0;
  for (let first = 0; first < data.length; first++) {
    if (!data[first] || names.data[first]) continue;
    names.data[first] = ++name;
    for (const open = [first]; open.length; ) {
      const at = open.pop();
      const column = at % width;
      const [left, right] = [column ? -1 : 0, column < width - 1 ? 1 : 0];
      for (const down of [-width, 0, width])
        for (let beside = at + down + left; beside <= at + down + right; beside++)
          if (data[beside] && !names.data[beside]) {
            names.data[beside] = name;
            open.push(beside);
          }
    }
  }
  return names;
}

// The distance of each pixel to the next zero, and zeros there are outside, too: G. Borgefors, "Distance
// transformations in digital images" (1986), with a mask of 3 x 3, as OpenCV's DIST_L2 has it.
export function distances({ data, width, height }) {
  const wide = width + 2;
  const steps = new Int32Array(wide * (height + 2));
  const nearest = (at, back) => {
    const straight = Math.min(steps[at - back], steps[at - back * wide]);
    const slanted = Math.min(steps[at - back * (wide + 1)], steps[at - back * (wide - 1)]);
    return Math.min(straight + STRAIGHT, slanted + SLANTED);
  };
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const at = (row + 1) * wide + column + 1;
      steps[at] = data[row * width + column] ? nearest(at, 1) : 0;
    }
  const out = plane(width, height, new Float32Array(data.length));
  for (let row = height - 1; row >= 0; row--)
    for (let column = width - 1; column >= 0; column--) {
      const at = (row + 1) * wide + column + 1;
      if (steps[at]) steps[at] = Math.min(steps[at], nearest(at, -1));
      out.data[row * width + column] = steps[at] / 65536;
    }
  return out;
}
