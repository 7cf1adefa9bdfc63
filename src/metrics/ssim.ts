import type { Frame } from "../media/frame.ts";
import { checkSameShape } from "./psnr.ts";

const RADIUS = 5;
const SIZE = 2 * RADIUS + 1;
const SIGMA = 1.5;
const C1 = 0.01 ** 2;
const C2 = 0.03 ** 2;

/** Structural similarity of two frames, -1 to 1: mean over channels and pixels, 11 x 11 Gaussian window with sigma 1.5 per
 * channel, k1 = 0.01, k2 = 0.03, samples scaled to [0, 1]. The 5 border pixels do not count, as in torchmetrics 1.1.2.
 * Throws RangeError if size or bit depth differ or a side is below 11. */
export function ssim(a: Frame, b: Frame): number {
  checkSameShape(a, b);
  if (Math.min(a.width, a.height) < SIZE) {
    throw new RangeError(
      `Cannot compute SSIM: size is ${a.width} x ${a.height}, wanted at least ${SIZE} x ${SIZE}`,
    );
  }
  const outWidth = a.width - 2 * RADIUS;
  const outHeight = a.height - 2 * RADIUS;
  const gaussian = gaussianWindow();
  let sum = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < outHeight; y++) {
      sum += sumRow(columnMoments(a, { b, channel, y, gaussian }), { outWidth, gaussian });
    }
  }
  return sum / (3 * outWidth * outHeight);
}

function gaussianWindow(): Float64Array {
  const weights = Float64Array.from(
    { length: SIZE },
    (_, i) => Math.exp(-((i - RADIUS) ** 2) / (2 * SIGMA ** 2)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Vertical half of the window for rows y to y + 10: weighted means [5, W] of a, b, a², b² and ab. */
function columnMoments(
  a: Frame,
  options: { b: Frame; channel: number; y: number; gaussian: Float64Array },
): Float64Array {
  const { b, channel, y, gaussian } = options;
  const { width } = a;
  const peak = 2 ** a.bitDepth - 1;
  const moments = new Float64Array(5 * width);
  for (let k = 0; k < SIZE; k++) {
    const weight = gaussian[k]!;
    for (let x = 0, from = (y + k) * width * 3 + channel; x < width; x++, from += 3) {
      const valueA = a.data[from]! / peak;
      const valueB = b.data[from]! / peak;
      moments[x]! += weight * valueA;
      moments[width + x]! += weight * valueB;
      moments[2 * width + x]! += weight * valueA * valueA;
      moments[3 * width + x]! += weight * valueB * valueB;
      moments[4 * width + x]! += weight * valueA * valueB;
    }
  }
  return moments;
}

/** Horizontal half of the window, and the sum of SSIM over one output row. */
function sumRow(moments: Float64Array, options: { outWidth: number; gaussian: Float64Array }): number {
  const { outWidth, gaussian } = options;
  const width = moments.length / 5;
  let sum = 0;
  for (let x = 0; x < outWidth; x++) {
    let meanA = 0;
    let meanB = 0;
    let squareA = 0;
    let squareB = 0;
    let product = 0;
    for (let k = 0; k < SIZE; k++) {
      const weight = gaussian[k]!;
      meanA += weight * moments[x + k]!;
      meanB += weight * moments[width + x + k]!;
      squareA += weight * moments[2 * width + x + k]!;
      squareB += weight * moments[3 * width + x + k]!;
      product += weight * moments[4 * width + x + k]!;
    }
    const varianceA = squareA - meanA * meanA;
    const varianceB = squareB - meanB * meanB;
    const covariance = product - meanA * meanB;
    sum += (2 * meanA * meanB + C1) * (2 * covariance + C2) /
      ((meanA * meanA + meanB * meanB + C1) * (varianceA + varianceB + C2));
  }
  return sum;
}
