// Greyscale morphology as OpenCV's, on planes {data, width, height}: what lies outside of a plane counts for nothing.
//
// Knows nothing of drawings.

export const plane = (width, height, data = new Uint8Array(width * height)) => ({ data, width, height });

// A new plane, each value made of those of the others at its place.
export const combined = (make, first, ...others) =>
  plane(first.width, first.height, first.data.map((value, at) => make(value, ...others.map(({ data }) => data[at]))));

// Saturating difference, and distance.
export const minus = (a, b) => combined((x, y) => Math.max(0, x - y), a, b);
export const apart = (a, b) => combined((x, y) => Math.abs(x - y), a, b);

// The largest value within a rectangle of `side` pixels around each pixel, more of it before than behind where that
// is even.
export const dilated = (from, side) => vertically(horizontally(from, side, Math.max), side, Math.max);
export const eroded = (from, side) => vertically(horizontally(from, side, Math.min), side, Math.min);

function horizontally({ data, width, height }, side, best) {
  const out = plane(width, height, data.slice());
  for (let row = 0; row < height; row++) slide(data, out.data, row * width, 1, width, side, best);
  return out;
}

function vertically({ data, width, height }, side, best) {
  const out = plane(width, height, data.slice());
  for (let column = 0; column < width; column++) slide(data, out.data, column, width, height, side, best);
  return out;
}

// The best of a window that slides along a line of pixels: van Herk's and Gil and Werman's algorithm, three
// comparisons a pixel whatever the window.
function slide(data, out, start, step, length, side, best) {
  const before = side >> 1;
  const worst = best === Math.max ? -Infinity : Infinity;
  const padded = Math.ceil((length + side - 1) / side) * side;
  const value = (at) => (at < before || at >= before + length ? worst : data[start + (at - before) * step]);
  const forward = new Float32Array(padded);
  const backward = new Float32Array(padded);
  for (let at = 0; at < padded; at++) forward[at] = at % side ? best(forward[at - 1], value(at)) : value(at);
  for (let at = padded - 1; at >= 0; at--)
    backward[at] = at % side === side - 1 ? value(at) : best(backward[at + 1] ?? worst, value(at));
  for (let at = 0; at < length; at++) out[start + at * step] = best(backward[at], forward[at + side - 1]);
}

// The same with a cross of five pixels, so many times: a diamond.
export const dilatedByDiamond = (from, times) => crossed(from, times, 1);
export const erodedByDiamond = (from, times) => crossed(from, times, -1);

function crossed({ data, width, height }, times, sign) {
  let now = Int16Array.from(data, (value) => sign * value);
  let next = new Int16Array(now.length);
  for (; times > 0; times--) {
    for (let row = 0, at = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at++) {
        let most = now[at];
        if (column > 0 && now[at - 1] > most) most = now[at - 1];
        if (column < width - 1 && now[at + 1] > most) most = now[at + 1];
        if (row > 0 && now[at - width] > most) most = now[at - width];
        if (row < height - 1 && now[at + width] > most) most = now[at + width];
        next[at] = most;
      }
    }
    [now, next] = [next, now];
  }
  return plane(width, height, Uint8Array.from(now, (value) => sign * value));
}

// The largest value within an ellipse of `side` by `side` pixels, as OpenCV's MORPH_ELLIPSE has it.
export function dilatedByEllipse({ data, width, height }, side) {
  const half = side >> 1;
  const out = plane(width, height, data.slice());
  for (let dy = -half; dy < side - half; dy++) {
    const reach = Math.abs(dy) <= half ? roundEven(half * Math.sqrt(half ? (half ** 2 - dy ** 2) / half ** 2 : 0)) : -1;
    for (let dx = -reach; dx <= Math.min(reach, side - half - 1); dx++)
      for (let row = Math.max(0, -dy); row < Math.min(height, height - dy); row++)
        for (let column = Math.max(0, -dx); column < Math.min(width, width - dx); column++) {
          const value = data[(row + dy) * width + column + dx];
          const at = row * width + column;
          if (value > out.data[at]) out.data[at] = value;
        }
  }
  return out;
}

// To the nearest whole number, halves to the even one: as Python and OpenCV round.
export function roundEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest === 0.5 ? below + (below % 2) : Math.round(value);
}
