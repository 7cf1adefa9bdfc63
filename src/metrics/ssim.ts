import type { Frame } from "../media/frame.ts";
import { checkSameShape } from "./psnr.ts";

const RADIUS = 5;
const SIZE = 2 * RADIUS + 1;
const SIGMA = 1.5;
const C1 = 0.01 ** 2;
const C2 = 0.03 ** 2;

/**
 * Structural similarity of two frames, -1 to 1: mean over channels and pixels, 11 x 11 Gaussian window with sigma 1.5 per
 * channel, k1 = 0.01, k2 = 0.03, samples scaled to [0, 1]. The 5 border pixels do not count, as in torchmetrics 1.1.2.
 * Throws RangeError if size or bit depth differ or a side is below 11.
 */
export function ssim(a: Frame, b: Frame): number {
  checkSameShape(a, b);
  if (Math.min(a.width, a.height) < SIZE) {
    throw new RangeError(
      `Cannot compute SSIM: size is ${a.width} x ${a.height}, wanted at least ${SIZE} x ${SIZE}`,
    );
  }
  const outHeight = a.height - 2 * RADIUS;
  const rows = new FilteredRows(a, b);
  let sum = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < 2 * RADIUS; y++) rows.add(channel, y);
    for (let y = 0; y < outHeight; y++) {
      rows.add(channel, y + 2 * RADIUS);
      sum += rows.sumSsim();
    }
  }
  return sum / (3 * rows.outWidth * outHeight);
}

/** Weights of the window, from its border to its centre. */
function gaussianWindow(): Float64Array {
  const weights = Float64Array.from(
    { length: SIZE },
    (_, i) => Math.exp(-((i - RADIUS) ** 2) / (2 * SIGMA ** 2)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum).slice(0, RADIUS + 1);
}

/** Sets `out` to the weighted mean of the 11 `rows` of a window; written out, it takes half the time of a loop. */
function weigh(rows: readonly Float64Array[], { g, out }: { g: Float64Array; out: Float64Array }): void {
  const [g0, g1, g2, g3, g4, g5] = [g[0]!, g[1]!, g[2]!, g[3]!, g[4]!, g[5]!];
  const [r0, r1, r2, r3, r4, r5] = [rows[0]!, rows[1]!, rows[2]!, rows[3]!, rows[4]!, rows[5]!];
  const [r6, r7, r8, r9, r10] = [rows[6]!, rows[7]!, rows[8]!, rows[9]!, rows[10]!];
  for (let i = 0; i < out.length; i++) {
    out[i] = g0 * (r0[i]! + r10[i]!) + g1 * (r1[i]! + r9[i]!) + g2 * (r2[i]! + r8[i]!) +
      g3 * (r3[i]! + r7[i]!) + g4 * (r4[i]! + r6[i]!) + g5 * r5[i]!;
  }
}

/** What SSIM needs of a pixel's surroundings: weighted means of a, b, a² + b² and ab. */
const MEANS = 4;

/** The last 11 rows of a channel of two frames, their means filtered along the row. */
class FilteredRows {
  readonly outWidth: number;
  readonly #a: Frame;
  readonly #b: Frame;
  readonly #gaussian = gaussianWindow();
  /** Values of one row, [4, W]. */
  readonly #row: Float64Array;
  /** For each mean the 11 parts of `#row`, each one pixel further, that make the row's means. */
  readonly #shifted: readonly (readonly Float64Array[])[];
  /** Filtered rows, each [4, outWidth], from the first of the window to its last. */
  readonly #window: Float64Array[];

  constructor(a: Frame, b: Frame) {
    const { width } = a, outWidth = width - 2 * RADIUS;
    this.outWidth = outWidth;
    this.#a = a;
    this.#b = b;
    const row = this.#row = new Float64Array(MEANS * width);
    this.#shifted = Array.from(
      { length: MEANS },
      (_, mean) =>
        Array.from({ length: SIZE }, (_, k) => row.subarray(mean * width + k, mean * width + k + outWidth)),
    );
    this.#window = Array.from({ length: SIZE }, () => new Float64Array(MEANS * outWidth));
  }

  /** Filters row `y` of `channel` and takes it into the window, as its last row. */
  add(channel: number, y: number): void {
    const { width, bitDepth, data } = this.#a, other = this.#b.data;
    const row = this.#row, scale = 1 / (2 ** bitDepth - 1);
    for (let x = 0, from = y * width * 3 + channel; x < width; x++, from += 3) {
      const a = scale * data[from]!, b = scale * other[from]!;
      row[x] = a;
      row[width + x] = b;
      row[2 * width + x] = a * a + b * b;
      row[3 * width + x] = a * b;
    }
    const filtered = this.#window.shift()!;
    this.#window.push(filtered);
    for (const [mean, rows] of this.#shifted.entries()) {
      const out = filtered.subarray(mean * this.outWidth, (mean + 1) * this.outWidth);
      weigh(rows, { g: this.#gaussian, out });
    }
  }

  /** The sum of SSIM over the row in the middle of the window. */
  sumSsim(): number {
    const { outWidth } = this;
    const means = this.#row.subarray(0, MEANS * outWidth);
    weigh(this.#window, { g: this.#gaussian, out: means });
    let sum = 0;
    for (let x = 0; x < outWidth; x++) {
      const a = means[x]!, b = means[outWidth + x]!;
      const squares = a * a + b * b, product = a * b;
      const variances = means[2 * outWidth + x]! - squares;
      const covariance = means[3 * outWidth + x]! - product;
      sum += (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2));
    }
    return sum;
  }
}
