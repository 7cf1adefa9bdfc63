/** Sizes and parameters of a normalisation; `weight` and `bias` per channel. */
export interface NormalisationShape {
  readonly batch: number;
  /** Pixels or tokens of one image. */
  readonly pixels: number;
  readonly channels: number;
  readonly eps: number;
  readonly weight?: ArrayLike<number>;
  readonly bias?: ArrayLike<number>;
}

/** Normalises `x` [N, P, C] per image within `groups` groups of channels, by the biased variance. */
export function groupNorm(
  x: ArrayLike<number>,
  { batch, pixels, channels, groups, eps, weight, bias }: NormalisationShape & { readonly groups: number },
): Float64Array {
  const y = new Float64Array(batch * pixels * channels);
  const size = channels / groups;
  for (let n = 0; n < batch; n++) {
    for (let g = 0; g < groups; g++) {
      const indices: number[] = [];
      for (let p = 0; p < pixels; p++) {
        for (let c = g * size; c < (g + 1) * size; c++) indices.push((n * pixels + p) * channels + c);
      }
      const { mean, variance } = moments(indices.map((i) => x[i]!));
      for (const i of indices) {
        const c = i % channels;
        y[i] = (x[i]! - mean) / Math.sqrt(variance + eps) * (weight?.[c] ?? 1) + (bias?.[c] ?? 0);
      }
    }
  }
  return y;
}

/** Normalises each position of `x` [N, P, C] over its channels. */
export function layerNorm(
  x: ArrayLike<number>,
  { batch, pixels, channels, eps, weight, bias }: NormalisationShape,
): Float64Array {
  const y = new Float64Array(batch * pixels * channels);
  for (let p = 0; p < batch * pixels; p++) {
    const values = Array.from({ length: channels }, (_, c) => x[p * channels + c]!);
    const { mean, variance } = moments(values);
    for (let c = 0; c < channels; c++) {
      y[p * channels + c] = (values[c]! - mean) / Math.sqrt(variance + eps) * (weight?.[c] ?? 1) +
        (bias?.[c] ?? 0);
    }
  }
  return y;
}

function moments(values: readonly number[]): { mean: number; variance: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
  return { mean, variance };
}
