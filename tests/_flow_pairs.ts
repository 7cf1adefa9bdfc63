import assert from "node:assert/strict";
import type { Gpu } from "../src/gpu/device.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { flowPairs } from "../src/kernels/flow_pairs.ts";

/** A flow [N, H, W, 2] on the GPU as kernels want it, in the shape of `flowPairs()`. */
export function flowTensor(
  gpu: Gpu,
  label: string,
  { shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
): Tensor {
  const [batch = 1, height = 1, width = 1] = shape;
  const pairs = flowPairs(batch, height, width), row = 4 * pairs[2];
  const values = new Float32Array(batch * height * row);
  for (let i = 0; i < data.length; i++) {
    values[Math.floor(i / (2 * width)) * row + i % (2 * width)] = data[i]!;
  }
  return gpu.tensor(pairs, label, values);
}

/** The values [N, H, W, 2] of a flow in pairs; fails where what is beyond an odd width is not zero. */
export function fromFlowPairs(values: Float32Array, width: number): Float32Array {
  const row = 4 * Math.ceil(width / 2), isInside = (i: number) => i % row < 2 * width;
  assert.ok(values.every((value, i) => isInside(i) || value === 0), "not zero beyond the width");
  return values.filter((_, i) => isInside(i));
}
