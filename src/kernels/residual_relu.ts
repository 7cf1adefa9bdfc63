import source from "../../wgsl/residual_relu.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { type Recorder, slice } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;

/** End of a residual block. */
export const residualReluKernel: Kernel = defineKernel({
  name: "residual_relu",
  source,
  bindings: { a: "read", b: "read", y: "write" },
  params: { count: "u32" },
});

/** max(`a` + `b`, 0), of one shape. Throws `RangeError` where they differ. */
export function residualRelu(
  rec: Recorder,
  a: Tensor,
  b: Tensor,
  { label }: { readonly label: string },
): Tensor {
  assertShape(b, a.shape, { kernel: "residual_relu", label });
  const y = rec.tensor(a.shape, label);
  for (const { from, to } of flatChunks(y.vec4s, rec.gpu.facts.maxBindingBytes)) {
    rec.run(residualReluKernel, {
      label,
      bindings: { a: slice(a, from, to), b: slice(b, from, to), y: slice(y, from, to) },
      params: { count: to - from },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return y;
}
