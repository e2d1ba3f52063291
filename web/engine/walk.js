// Between two pictures: noise on the way from one to the other, and words. As sdxs/model/walk.py.
//
// Knows nothing of prompts, seeds or networks.

const STRAIGHT = 1e-6; // a sine below which an arc and its chord are the same, and the arc is 0 / 0

// Noise along the great circle from `start` to `end`, Float32Arrays of one length; t in [0, 1]. Shoemake, "Animating
// Rotation with Quaternion Curves" (1985), section 3.3; the norm goes evenly from one to the other.
export function slerp(start, end, t) {
  if (t <= 0 || start.every((value, at) => value === end[at])) return start;
  if (t >= 1) return end;
  const norms = [start, end].map((each) => Math.sqrt(dot(each, each)));
  const cosine = dot(start, end) / Math.max(norms[0] * norms[1], 1e-300);
  const theta = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const sine = Math.sin(theta);
  const straight = sine < STRAIGHT;
  const length = norms[0] + t * (norms[1] - norms[0]);
  const ofStart = (length / norms[0]) * (straight ? 1 - t : Math.sin((1 - t) * theta) / sine);
  const ofEnd = (length / norms[1]) * (straight ? t : Math.sin(t * theta) / sine);
  return start.map((value, at) => ofStart * value + ofEnd * end[at]);
}

// Embeddings in a straight line from `start` to `end`, Float32Arrays of one length; t in [0, 1].
export function blend(start, end, t) {
  if (t <= 0) return start;
  if (t >= 1) return end;
  return start.map((value, at) => value + t * (end[at] - value));
}

function dot(a, b) {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at] * b[at];
  return sum;
}
