import type { Gpu } from "../src/gpu/device.ts";
import { Tensor, vec4Count } from "../src/gpu/tensor.ts";
import { prefersTexture } from "../src/kernels/tuning.ts";

/** A tensor for weights, kept as networks keep them: in a texture where that is faster. Filled with `data` if given. */
export function weightTensor(
  gpu: Gpu,
  shape: readonly number[],
  { label, data }: { readonly label: string; readonly data?: Float32Array },
): Tensor {
  const tensor = new Tensor(shape, label, { inTexture: prefersTexture(gpu.facts, vec4Count(shape)) });
  gpu.allocate(tensor);
  if (data) gpu.write(tensor, data);
  return tensor;
}
