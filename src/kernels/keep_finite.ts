import source from "../../wgsl/keep_finite.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;

/** New values, or old ones once something was not finite. */
export const keepFiniteKernel: Kernel = defineKernel({
  name: "keep_finite",
  source,
  bindings: { x: "read", old: "read", state: "read", y: "write" },
  params: { count: "u32" },
});

/**
 * `x` while all checks counted in `state` (see `finiteTally()`) have passed, from then on `old`, of the same shape:
 * what led to the first bad values stays as it was. Throws `RangeError` where shapes differ.
 */
export function keepFinite(
  rec: Recorder,
  x: Tensor,
  { old, state, label }: { readonly old: Tensor; readonly state: Tensor; readonly label: string },
): Tensor {
  assertShape(old, x.shape, { kernel: "keep_finite", label });
  const y = rec.tensor(x.shape, label);
  for (const { from, to } of flatChunks(y.vec4s, rec.gpu.facts.maxBindingBytes)) {
    rec.run(keepFiniteKernel, {
      label,
      bindings: { x: slice(x, from, to), old: slice(old, from, to), state, y: slice(y, from, to) },
      params: { count: to - from },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return y;
}
