import source from "../../wgsl/gaussian_noise.wgsl" with { type: "text" };
import philox from "../../wgsl/lib/philox.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;

/** Counter-based Gaussian noise. */
export const gaussianNoiseKernel: Kernel = defineKernel({
  name: "gaussian_noise",
  library: [philox],
  source,
  bindings: { counter: "read", y: "write" },
  params: { begin: "u32", count: "u32", channels: "u32" },
});

/** Options of `gaussianNoise()`. */
export interface GaussianNoiseOptions {
  /** Shape of the result; [1, h, w, 4] for a latent. */
  readonly shape: readonly number[];
  /** [1, 4] of u32, written before each replay: frame, stream, seed low, seed high. */
  readonly counter: Tensor;
  readonly label: string;
}

/**
 * Unit Gaussian noise, the same numbers as that of tests/reference/philox.ts to 1e-6.
 *
 * Each stored vec4 takes one counter; where channels are no multiple of 4, the rest of a position's last draw is
 * dropped. Throws `RangeError` for another shape of `counter`.
 */
export function gaussianNoise(rec: Recorder, { shape, counter, label }: GaussianNoiseOptions): Tensor {
  assertShape(counter, [1, 4], { kernel: "gaussian_noise", label });
  const y = rec.tensor(shape, label);
  for (const { from, to } of flatChunks(y.vec4s, rec.gpu.facts.maxBindingBytes)) {
    rec.run(gaussianNoiseKernel, {
      label,
      bindings: { counter, y: slice(y, from, to) },
      params: { begin: from, count: to - from, channels: y.size(-1) },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return y;
}
