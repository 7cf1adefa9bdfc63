import source from "../../wgsl/finite_check.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";

/** vec4s that one workgroup of the first stage reduces; fixed, so that sums do not depend on the GPU's limits. */
const CHUNK4 = 1024;

/** Statistics that find non-finite values. */
export const finiteCheckKernel: Kernel = defineKernel({
  name: "finite_check",
  source,
  bindings: { x: "read", y: "write" },
  params: { count: "u32", per_group: "u32", group_begin: "u32", begin: "u32", channels: "u32", total: "f32" },
  variants: [{ STAGE: 0 }, { STAGE: 1 }],
});

/**
 * Returns [1, 4]: how many values of `x`, one tensor or several of any shapes, are infinite or NaN, exact up to 2^24,
 * then minimum, maximum and mean of the others. Without any other these are 3.4e38, -3.4e38 and 0.
 */
export function finiteCheck(
  rec: Recorder,
  x: Tensor | readonly Tensor[],
  { label }: { readonly label: string },
): Tensor {
  const tensors = x instanceof Tensor ? [x] : x;
  const groups = tensors.map(({ vec4s }) => Math.ceil(vec4s / CHUNK4));
  const total = tensors.reduce((sum, t) => sum + t.vec4s / t.channels4 * t.size(-1), 0);
  const partial = rec.tensor([groups.reduce((a, b) => a + b, 0), 4], `${label}.partial`);
  const chunkBytes = 16 * CHUNK4;
  const wholeChunks = Math.max(1, Math.floor(rec.gpu.facts.maxBindingBytes / chunkBytes)) * chunkBytes;
  let firstGroup = 0;
  for (const [i, tensor] of tensors.entries()) {
    for (const { from, to } of flatChunks(tensor.vec4s, wholeChunks)) {
      rec.run(finiteCheckKernel, {
        label,
        constants: { STAGE: 0 },
        bindings: { x: slice(tensor, from, to), y: partial },
        params: {
          count: to - from,
          per_group: CHUNK4,
          group_begin: firstGroup + from / CHUNK4,
          begin: from,
          channels: tensor.size(-1),
          total,
        },
        workgroups: spread(Math.ceil((to - from) / CHUNK4)),
      });
    }
    firstGroup += groups[i]!;
  }
  const y = rec.tensor([1, 4], label);
  rec.run(finiteCheckKernel, {
    label,
    constants: { STAGE: 1 },
    bindings: { x: partial, y },
    params: { count: partial.vec4s, per_group: partial.vec4s, group_begin: 0, begin: 0, channels: 4, total },
    workgroups: [1, 1, 1],
  });
  return y;
}
