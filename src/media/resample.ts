import type { Frame } from "./frame.ts";

/** Sizes of planes [C, H, W] before and after resampling, in pixels, all at least 1. */
export interface ResizeOptions {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly outHeight: number;
  readonly outWidth: number;
}

/** Weights of one axis: output i is the sum over k of weights[i][k] * input[first[i] + k]. */
interface Taps {
  readonly first: readonly number[];
  readonly weights: readonly Float64Array[];
}

/** The axis that a pass resamples in an array seen as [outer, length, inner]. */
interface PassOptions {
  readonly outer: number;
  readonly inner: number;
  readonly length: number;
  readonly outLength: number;
}

/** Fraction bits of Pillow's weights for 8-bit pictures. */
const FIXED_POINT_BITS = 22;

/**
 * Resamples float planes [C, H, W] with antialiased bicubic as Pillow's `resize(BICUBIC)`: a = -0.5, support widened
 * when shrinking, taps outside left out. Returns [C, outHeight, outWidth], neither rounded nor clamped. Throws RangeError
 * if `x` does not have the size.
 */
export function resizeBicubic(x: Float32Array | Float64Array, options: ResizeOptions): Float32Array {
  checkSizes(x.length, options);
  const { channels, height, width, outHeight, outWidth } = options;
  const rows = passFloat(x, { outer: channels * height, inner: 1, length: width, outLength: outWidth });
  const y = passFloat(rows, { outer: channels, inner: outWidth, length: height, outLength: outHeight });
  return Float32Array.from(y);
}

/**
 * Resamples 8-bit planes [C, H, W] as `resizeBicubic`, bit for bit as Pillow: fixed-point weights, rows first, each pass
 * rounded and clamped to 8 bits. Returns [C, outHeight, outWidth]. Throws RangeError if `x` does not have the size.
 */
export function resizeBicubicU8(x: Uint8Array, options: ResizeOptions): Uint8Array {
  checkSizes(x.length, options);
  const { channels, height, width, outHeight, outWidth } = options;
  const rows = passU8(x, { outer: channels * height, inner: 1, length: width, outLength: outWidth });
  return passU8(rows, { outer: channels, inner: outWidth, length: height, outLength: outHeight });
}

/**
 * Enlarges an 8-bit Frame by a whole `factor` as Pillow's `resize(BICUBIC)`, bit for bit: the baseline in quality
 * tables. Throws RangeError for 16 bits or a factor below 1.
 */
export function upscaleBicubic(frame: Frame, factor: number): Frame {
  const { width, height, bitDepth, data } = frame;
  if (!(data instanceof Uint8Array)) {
    throw new RangeError(`Cannot upscale frame by bicubic: bit depth is ${bitDepth}, wanted 8`);
  }
  if (!Number.isInteger(factor) || factor < 1) {
    throw new RangeError(
      `Cannot upscale frame by bicubic: factor is ${factor}, wanted a whole number from 1`,
    );
  }
  const outWidth = width * factor;
  const outHeight = height * factor;
  // Interleaved RGB needs no planes: a row is [W, 3], and a column has a stride of one row.
  const rows = passU8(data, { outer: height, inner: 3, length: width, outLength: outWidth });
  const y = passU8(rows, { outer: 1, inner: outWidth * 3, length: height, outLength: outHeight });
  return { width: outWidth, height: outHeight, bitDepth: 8, data: y };
}

function checkSizes(length: number, options: ResizeOptions): void {
  const { channels, height, width, outHeight, outWidth } = options;
  const sizes = [channels, height, width, outHeight, outWidth];
  if (sizes.some((size) => !Number.isInteger(size) || size < 1)) {
    throw new RangeError(`Cannot resample: sizes are ${sizes.join(", ")}, wanted whole numbers from 1`);
  }
  if (length !== channels * height * width) {
    throw new RangeError(
      `Cannot resample: data has ${length} samples, [${channels}, ${height}, ${width}] wants ${
        channels * height * width
      }`,
    );
  }
}

function passFloat(x: Float32Array | Float64Array, options: PassOptions): Float32Array | Float64Array {
  const { outer, inner, length, outLength } = options;
  if (length === outLength) return x;
  const { first, weights } = bicubicTaps(length, outLength);
  const y = new Float64Array(outer * outLength * inner);
  for (let o = 0, to = 0; o < outer; o++) {
    for (let i = 0; i < outLength; i++) {
      const taps = weights[i]!;
      const start = (o * length + first[i]!) * inner;
      for (let j = 0; j < inner; j++, to++) {
        let sum = 0;
        for (let k = 0; k < taps.length; k++) sum += taps[k]! * x[start + k * inner + j]!;
        y[to] = sum;
      }
    }
  }
  return y;
}

function passU8(x: Uint8Array, options: PassOptions): Uint8Array {
  const { outer, inner, length, outLength } = options;
  if (length === outLength) return x;
  const { first, weights } = bicubicTaps(length, outLength);
  const fixed = weights.map(toFixedPoint);
  const y = new Uint8ClampedArray(outer * outLength * inner);
  for (let o = 0, to = 0; o < outer; o++) {
    for (let i = 0; i < outLength; i++) {
      const taps = fixed[i]!;
      const start = (o * length + first[i]!) * inner;
      for (let j = 0; j < inner; j++, to++) {
        let sum = 1 << (FIXED_POINT_BITS - 1);
        for (let k = 0; k < taps.length; k++) sum += taps[k]! * x[start + k * inner + j]!;
        y[to] = sum >> FIXED_POINT_BITS;
      }
    }
  }
  return new Uint8Array(y.buffer);
}

function bicubicTaps(length: number, outLength: number): Taps {
  const scale = length / outLength;
  const filterScale = Math.max(scale, 1);
  const first: number[] = [];
  const weights: Float64Array[] = [];
  for (let i = 0; i < outLength; i++) {
    const centre = (i + 0.5) * scale;
    const low = Math.max(Math.trunc(centre - 2 * filterScale + 0.5), 0);
    const high = Math.min(Math.trunc(centre + 2 * filterScale + 0.5), length);
    const taps = Float64Array.from(
      { length: high - low },
      (_, k) => cubic((low + k - centre + 0.5) / filterScale),
    );
    const sum = taps.reduce((total, weight) => total + weight, 0);
    first.push(low);
    weights.push(taps.map((weight) => weight / sum));
  }
  return { first, weights };
}

/** Keys' cubic convolution with a = -0.5, zero from 2 on. */
function cubic(x: number): number {
  const distance = Math.abs(x);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * -0.5;
  return 0;
}

/** Rounds halves away from zero, as Pillow does. */
function toFixedPoint(weights: Float64Array): Int32Array {
  return Int32Array.from(
    weights,
    (weight) => Math.trunc(weight * 2 ** FIXED_POINT_BITS + (weight < 0 ? -0.5 : 0.5)),
  );
}
