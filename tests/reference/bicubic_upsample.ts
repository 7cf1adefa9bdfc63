import type { ImageShape } from "./flow_warp.ts";

/**
 * Bicubic enlargement of `x` [N, h, w, C] by `factor`, then replication of the last row and column up to `outHeight` ×
 * `outWidth`. Keys' kernel with a = -0.75, half-pixel centres, border repeated.
 */
export function bicubicUpsample(
  x: ArrayLike<number>,
  { batch, height, width, channels }: ImageShape,
  { factor, outHeight, outWidth }: { factor: number; outHeight: number; outWidth: number },
): Float64Array {
  const y = new Float64Array(batch * outHeight * outWidth * channels);
  for (let at = 0; at < y.length; at++) {
    const c = at % channels;
    const j = Math.floor(at / channels) % outWidth;
    const i = Math.floor(at / channels / outWidth) % outHeight;
    const n = Math.floor(at / channels / outWidth / outHeight);
    const py = (Math.min(i, factor * height - 1) + 0.5) / factor - 0.5;
    const px = (Math.min(j, factor * width - 1) + 0.5) / factor - 0.5;
    for (let v = Math.floor(py) - 1; v <= Math.floor(py) + 2; v++) {
      for (let u = Math.floor(px) - 1; u <= Math.floor(px) + 2; u++) {
        const row = Math.min(Math.max(v, 0), height - 1), column = Math.min(Math.max(u, 0), width - 1);
        const value = x[((n * height + row) * width + column) * channels + c]!;
        y[at]! += cubic(py - v) * cubic(px - u) * value;
      }
    }
  }
  return y;
}

function cubic(offset: number): number {
  const a = -0.75, d = Math.abs(offset);
  if (d < 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  return d < 2 ? a * (d ** 3 - 5 * d ** 2 + 8 * d - 4) : 0;
}
