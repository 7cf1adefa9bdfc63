/** How long something took. */
export interface Timing {
  readonly minMs: number;
  readonly medianMs: number;
  /** Number of measurements. */
  readonly repeats: number;
}

/** Smallest and middle of one or more durations; of an even number the mean of the two in the middle. */
export function summarise(durationsMs: readonly number[]): Timing {
  if (durationsMs.length === 0 || durationsMs.some((ms) => !(ms >= 0 && ms < Infinity))) {
    throw new RangeError(`Cannot summarise durations: [${durationsMs}], one or more finite numbers wanted`);
  }
  const sorted = durationsMs.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const medianMs = (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
  return { minMs: sorted[0]!, medianMs, repeats: sorted.length };
}
