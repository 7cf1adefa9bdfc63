import source from "../../wgsl/zeros.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";

const WORKGROUP = 64;

/** Fills a tensor with zeros. */
export const zerosKernel: Kernel = defineKernel({
  name: "zeros",
  source,
  bindings: { y: "write" },
  params: { count: "u32" },
});

/** A tensor of zeros: what a recurrence starts from. */
export function zeros(
  rec: Recorder,
  shape: readonly number[],
  { label }: { readonly label: string },
): Tensor {
  const y = rec.tensor(shape, label);
  for (const { from, to } of flatChunks(y.vec4s, rec.gpu.facts.maxBindingBytes)) {
    rec.run(zerosKernel, {
      label,
      bindings: { y: slice(y, from, to) },
      params: { count: to - from },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return y;
}
