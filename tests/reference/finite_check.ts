/** Count of non-finite values; minimum, maximum and mean of the others. */
export function finiteCheck(x: ArrayLike<number>): [number, number, number, number] {
  let bad = 0, low = Infinity, high = -Infinity, sum = 0;
  for (let i = 0; i < x.length; i++) {
    const v = x[i]!;
    if (!Number.isFinite(v)) {
      bad++;
      continue;
    }
    low = Math.min(low, v);
    high = Math.max(high, v);
    sum += v;
  }
  return [bad, low, high, sum / (x.length - bad)];
}
