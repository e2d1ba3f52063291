// Greyscale morphology as OpenCV's, on planes {data, width, height} of bytes: what lies outside counts for nothing.
//
// Knows nothing of drawings.

export const plane = (width, height, data = new Uint8Array(width * height)) => ({ data, width, height });

// A new plane, each value made of those of the others at its place.
export function combined(make, { data, width, height }, { data: second } = {}, { data: third } = {}) {
  const out = plane(width, height, new data.constructor(data.length));
  if (third) for (let at = 0; at < data.length; at++) out.data[at] = make(data[at], second[at], third[at]);
  else if (second) for (let at = 0; at < data.length; at++) out.data[at] = make(data[at], second[at]);
  else for (let at = 0; at < data.length; at++) out.data[at] = make(data[at]);
  return out;
}

// Bytes of numbers.
export function bytes(numbers, make) {
  const out = new Uint8Array(numbers.length);
  for (let at = 0; at < out.length; at++) out[at] = make(numbers[at]);
  return out;
}

// What is left of a, a byte, without b; not below zero.
export const minus = (a, b) => combined((x, y) => (x > y ? x - y : 0), a, b);

// The largest or the smallest value within a square of `side` pixels around each pixel, more of it before than behind
// where that is even.
export const dilated = (from, side) => squared(from, side, 0);
export const eroded = (from, side) => squared(from, side, 255);

// The same within a diamond: a cross of five pixels, so many times.
export const dilatedByDiamond = (from, times) => crossed(from, times, 0);
export const erodedByDiamond = (from, times) => crossed(from, times, 255);

// `flip` turns a byte x into 255 - x: the smallest of some is the largest of those.
function squared({ data, width, height }, side, flip) {
  const across = slid(data, width, height, side, flip, 0); // (W, H): turned
  return plane(width, height, slid(across, height, width, side, 0, flip));
}

// The largest within a window that slides along each row, as columns: van Herk's and Gil and Werman's algorithm (1992,
// 1993), three comparisons a pixel whatever the window.
function slid(data, width, height, side, before, after) {
  const lead = side >> 1;
  const length = Math.ceil((width + side) / side) * side;
  const [line, forward, backward] = [0, 0, 0].map(() => new Uint8Array(length));
  const out = new Uint8Array(data.length);
  for (let row = 0, from = 0; row < height; row++) {
    for (let at = lead; at < lead + width; at++, from++) line[at] = data[from] ^ before;
    for (let begin = 0; begin < length; begin += side) {
      let most = 0;
      for (let at = begin; at < begin + side; at++) forward[at] = most = Math.max(most, line[at]);
      most = 0;
      for (let at = begin + side - 1; at >= begin; at--) backward[at] = most = Math.max(most, line[at]);
    }
    for (let at = 0; at < width; at++) out[at * height + row] = Math.max(backward[at], forward[at + side - 1]) ^ after;
  }
  return out;
}

function crossed({ data, width, height }, times, flip) {
  const wide = width + 2;
  let now = new Uint8Array(wide * (height + 2));
  let next = new Uint8Array(now.length);
  for (let row = 1, from = 0; row <= height; row++)
    for (let at = row * wide + 1; at <= row * wide + width; at++) now[at] = data[from++] ^ flip;
  for (; times > 0; times--) {
    for (let row = 1; row <= height; row++)
      for (let at = row * wide + 1; at <= row * wide + width; at++) {
        const beside = Math.max(now[at - 1], now[at + 1]);
        const above = Math.max(now[at - wide], now[at + wide]);
        next[at] = Math.max(now[at], Math.max(beside, above));
      }
    [now, next] = [next, now];
  }
  const out = plane(width, height);
  for (let row = 1, to = 0; row <= height; row++)
    for (let at = row * wide + 1; at <= row * wide + width; at++) out.data[to++] = now[at] ^ flip;
  return out;
}

// The largest value, of any kind, within an ellipse of `side` by `side` pixels, as OpenCV's MORPH_ELLIPSE has it.
export function dilatedByEllipse({ data, width, height }, side) {
  const half = side >> 1;
  const out = plane(width, height, data.slice());
  for (let dy = -half; dy < side - half; dy++) {
    const reach = roundEven(half * Math.sqrt(half ? 1 - (dy / half) ** 2 : 0));
    for (let dx = -reach; dx <= Math.min(reach, side - half - 1); dx++)
      for (let row = Math.max(0, -dy); row < Math.min(height, height - dy); row++) {
        const end = row * width + Math.min(width, width - dx);
        for (let at = row * width + Math.max(0, -dx); at < end; at++) {
          const value = data[at + dy * width + dx];
          if (value > out.data[at]) out.data[at] = value;
        }
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
