// What hangs together among ones and zeros, row by row, and how far it is to the next zero.
//
// Knows nothing of drawings.

const STRAIGHT = 62587; // of 65536: a step along a row or a column (0.955)
const SLANTED = 89738; // and one across (1.3693)

// names: the number of each pixel's region, 0 where it is zero; areas: of each, in pixels. Pixels that touch at a
// corner hang together.
export function regions(ones, width, height) {
  const names = new Int32Array(ones.length);
  const open = new Int32Array(ones.length); // pixels whose neighbours were not looked at
  const areas = [0];
  for (let first = 0; first < ones.length; first++) {
    if (!ones[first] || names[first]) continue;
    const name = areas.length;
    names[first] = name;
    open[0] = first;
    let count = 1;
    for (let looked = 0; looked < count; looked++) {
      const at = open[looked];
      const column = at % width;
      const [left, right] = [Math.max(column - 1, 0) - column, Math.min(column + 1, width - 1) - column];
      for (let line = at - width; line <= at + width; line += width)
        for (let beside = line + left; beside <= line + right; beside++)
          if (ones[beside] && !names[beside]) {
            names[beside] = name;
            open[count++] = beside;
          }
    }
    areas.push(count);
  }
  return { names, areas };
}

// How far pixels are from the next zero, of those that no neighbour is farther: half the width of a line, in its
// middle. All is zero outside. G. Borgefors, "Distance transformations in digital images" (1986), with a mask of 3 x 3,
// as OpenCV's DIST_L2 has it.
export function crests(ones, width, height) {
  const wide = width + 2;
  const steps = new Int32Array(wide * (height + 2));
  const places = []; // of ones
  for (let row = 0, from = 0; row < height; row++)
    for (let column = 0; column < width; column++, from++) if (ones[from]) places.push((row + 1) * wide + column + 1);
  const nearest = (at, step, line) => {
    const straight = Math.min(steps[at - step], steps[at - line]) + STRAIGHT;
    return Math.min(straight, Math.min(steps[at - line - step], steps[at - line + step]) + SLANTED);
  };
  for (let at = 0; at < places.length; at++) steps[places[at]] = nearest(places[at], 1, wide);
  for (let at = places.length - 1; at >= 0; at--)
    steps[places[at]] = Math.min(steps[places[at]], nearest(places[at], -1, -wide));
  const around = [-wide - 1, -wide, -wide + 1, -1, 1, wide - 1, wide, wide + 1];
  const crest = places.filter((at) => around.every((beside) => steps[at + beside] <= steps[at]));
  return new Float32Array(crest.map((at) => steps[at] / 65536));
}
