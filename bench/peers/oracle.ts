import { attention } from "../../tests/reference/attention.ts";
import { conv2dReference } from "../../tests/reference/conv2d.ts";
import { gemmReference } from "../../tests/reference/gemm.ts";
import { firstMiddleLast, rowSamples, type Samples } from "../cases/kernel_case.ts";
import { permute } from "./permute.ts";
import type { Inputs, Work } from "./work.ts";

/** Root mean square of `actual - expected` over that of `expected`. Not finite if any value is not. */
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

/** Some of the first link's output, in double precision: whole rows, the first and the last among them. */
export function expectedSamples(work: Work, inputs: Inputs): Samples {
  switch (work.kind) {
    case "conv2d":
      return convSamples(work, inputs);
    case "gemm": {
      const { size } = work, x = inputs.x!.data, w = inputs.w!.data;
      const shape = { batch: 1, rows: 1, inner: size, columns: size };
      return rowSamples(
        size,
        firstMiddleLast(size).map((row) => ({
          row,
          values: gemmReference(x.subarray(row * size, (row + 1) * size), w, shape),
        })),
      );
    }
    case "attention": {
      const { heads, tokens, headChannels } = work, x = inputs.x!.data;
      const shape = { batch: 1, queries: 1, keys: tokens, heads: 1, headChannels, kvBatch: 1 };
      return rowSamples(
        headChannels,
        firstMiddleLast(heads * tokens).map((row) => {
          const [k, v] = [inputs.k!, inputs.v!].map(({ data }) => {
            const from = Math.floor(row / tokens) * tokens * headChannels;
            return data.subarray(from, from + tokens * headChannels);
          });
          const q = x.subarray(row * headChannels, (row + 1) * headChannels);
          return { row, values: attention([q, k!, v!], shape) };
        }),
      );
    }
  }
}

/** Rows of the first, middle and last channel, at both borders and in between. */
function convSamples({ channels, size }: { channels: number; size: number }, inputs: Inputs): Samples {
  const x = permute(inputs.x!.data, { shape: inputs.x!.shape, order: [1, 2, 0] });
  const taps = 9 * channels;
  return rowSamples(
    size,
    firstMiddleLast(channels).flatMap((channel) =>
      firstMiddleLast(size).map((row) => {
        const from = Math.max(row - 1, 0), to = Math.min(row + 2, size);
        const { y } = conv2dReference({
          x: x.subarray(from * size * channels, to * size * channels),
          shape: [1, to - from, size, channels],
          weight: inputs.w!.data.subarray(channel * taps, (channel + 1) * taps),
          weightShape: [1, channels, 3, 3],
          pad: { top: from - (row - 1), bottom: row + 2 - to, left: 1, right: 1 },
        });
        return { row: channel * size + row, values: y };
      })
    ),
  );
}
