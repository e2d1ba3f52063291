// What lies in the middle of many numbers, and elsewhere in their order: as numpy has them.

export const median = (numbers) => percentile(numbers, 50);

// Below which so many of a hundred lie; between two numbers in a straight line.
export function percentile(numbers, share) {
  const sorted = numbers instanceof Uint8Array ? counted(numbers) : numbers.slice().sort();
  const place = ((sorted.length - 1) * share) / 100;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

function counted(bytes) {
  const counts = new Uint32Array(256);
  for (let at = 0; at < bytes.length; at++) counts[bytes[at]] += 1;
  const sorted = new Uint8Array(bytes.length);
  let end = 0;
  for (let value = 0; value < 256; value++) sorted.fill(value, end, (end += counts[value]));
  return sorted;
}
