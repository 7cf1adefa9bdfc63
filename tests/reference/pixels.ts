/** Samples to -1 … 1. */
export function unpackPixels(samples: ArrayLike<number>, bitDepth: 8 | 16): Float64Array {
  return Float64Array.from(samples, (v) => v / ((2 ** bitDepth - 1) / 2) - 1);
}

/** Values to samples: clamped, halves to the even level. */
export function packPixels(x: ArrayLike<number>, bitDepth: 8 | 16): number[] {
  const levels = 2 ** bitDepth - 1;
  return Array.from(x, (v) => {
    const scaled = Math.min(Math.max(v / 2 + 0.5, 0), 1) * levels;
    const below = Math.floor(scaled), rest = scaled - below;
    return rest > 0.5 || rest === 0.5 && below % 2 === 1 ? below + 1 : below;
  });
}
