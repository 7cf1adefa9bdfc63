import type { Inputs, Work } from "./work.ts";

/** Values compared, spread over the output; the stride is odd so that all borders and channels have some. */
const SAMPLES = 500;

/** Root mean square of `actual - expected` over that of `expected`; NaN if anything is not finite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new RangeError(`Cannot compare outputs: ${actual.length} values, ${expected.length} wanted`);
  }
  let error = 0, scale = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    scale += expected[i]! ** 2;
  }
  return Math.sqrt(error / scale);
}

/** Error of the first link's output `y` against float64 sums at a sample of positions. */
export function sampleError(work: Work, inputs: Inputs, y: Float32Array): number {
  const count = inputs.x!.data.length;
  if (y.length !== count) throw new RangeError(`Cannot compare outputs: ${y.length} values, ${count} wanted`);
  const positions = Array.from({ length: SAMPLES }, (_, i) => Math.floor(i * (count - 1) / (SAMPLES - 1)));
  return relativeError(positions.map((at) => y[at]!), positions.map((at) => expectedAt(work, inputs, at)));
}

function expectedAt(work: Work, inputs: Inputs, at: number): number {
  switch (work.kind) {
    case "conv2d":
      return convAt(work, inputs, at);
    case "gemm":
      return gemmAt(work.size, inputs, at);
    case "attention":
      return attentionAt(work, inputs, at);
  }
}

function convAt(
  { channels, size }: { channels: number; size: number },
  inputs: Inputs,
  at: number,
): number {
  const x = inputs.x!.data, w = inputs.w!.data;
  const column = at % size, row = Math.floor(at / size) % size, o = Math.floor(at / size ** 2);
  let sum = 0;
  for (let c = 0; c < channels; c++) {
    for (let ky = 0; ky < 3; ky++) {
      for (let kx = 0; kx < 3; kx++) {
        const iy = row + ky - 1, ix = column + kx - 1;
        if (iy < 0 || iy >= size || ix < 0 || ix >= size) continue;
        sum += x[(c * size + iy) * size + ix]! * w[((o * channels + c) * 3 + ky) * 3 + kx]!;
      }
    }
  }
  return sum;
}

function gemmAt(size: number, inputs: Inputs, at: number): number {
  const x = inputs.x!.data, w = inputs.w!.data;
  const row = Math.floor(at / size), column = at % size;
  let sum = 0;
  for (let k = 0; k < size; k++) sum += x[row * size + k]! * w[k * size + column]!;
  return sum;
}

function attentionAt(
  { tokens, headChannels }: { tokens: number; headChannels: number },
  inputs: Inputs,
  at: number,
): number {
  const q = inputs.x!.data, k = inputs.k!.data, v = inputs.v!.data;
  const channel = at % headChannels, query = at - channel;
  const head = Math.floor(at / (tokens * headChannels)) * tokens * headChannels;
  const scores = Array.from({ length: tokens }, (_, j) => {
    let score = 0;
    for (let c = 0; c < headChannels; c++) score += q[query + c]! * k[head + j * headChannels + c]!;
    return score / Math.sqrt(headChannels);
  });
  const top = Math.max(...scores);
  let sum = 0, total = 0;
  scores.forEach((score, j) => {
    const factor = Math.exp(score - top);
    total += factor;
    sum += factor * v[head + j * headChannels + channel]!;
  });
  return sum / total;
}
