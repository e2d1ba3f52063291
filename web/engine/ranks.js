// What lies in the middle of many numbers, and elsewhere in their order: as numpy has them.

export const median = (numbers) => percentile(numbers, 50);

// Below which so many of a hundred lie; between two numbers in a straight line.
export function percentile(numbers, share) {
  const sorted = numbers.slice().sort();
  const place = ((sorted.length - 1) * share) / 100;
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}
