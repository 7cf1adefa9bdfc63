import type { ImageShape } from "./flow_warp.ts";

/** Means of the 2 × 2 blocks of `x` [N, H, W, C]; an odd last row or column is dropped. */
export function avgPool2d(
  x: ArrayLike<number>,
  { batch, height, width, channels }: ImageShape,
): Float64Array {
  const y: number[] = [];
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i + 1 < height; i += 2) {
      for (let j = 0; j + 1 < width; j += 2) {
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (const [v, u] of [[i, j], [i, j + 1], [i + 1, j], [i + 1, j + 1]] as const) {
            sum += x[((n * height + v) * width + u) * channels + c]!;
          }
          y.push(sum / 4);
        }
      }
    }
  }
  return Float64Array.from(y);
}
