import source from "../../wgsl/finite_tally.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { finiteCheck } from "./finite_check.ts";

/** Units of work before the first that was not finite. */
export const finiteTallyKernel: Kernel = defineKernel({
  name: "finite_tally",
  source,
  bindings: { check: "read", state: "read_write" },
  params: {},
});

/**
 * Checks the values of `xs` (any shapes) and adds the result to `state` [1, 4], which must start as zeros: how many
 * checks passed before the first that did not, exact up to 2^24, and how many values of that one are NaN or infinite.
 */
export function finiteTally(
  rec: Recorder,
  xs: readonly Tensor[],
  { state, label }: { readonly state: Tensor; readonly label: string },
): void {
  const check = finiteCheck(rec, xs, { label });
  rec.run(finiteTallyKernel, { label, bindings: { check, state }, params: {}, workgroups: [1, 1, 1] });
}
