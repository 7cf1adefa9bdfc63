import panelsLibrary from "../../wgsl/lib/panels.wgsl" with { type: "text" };
import source from "../../wgsl/transpose_panels.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { spread } from "./bands.ts";
import { panelColumns } from "./panels.ts";

const WORKGROUP = 64;

/** Transposition into panels. */
export const transposePanelsKernel: Kernel = defineKernel({
  name: "transpose_panels",
  source,
  library: [panelsLibrary],
  bindings: { x: "read", y: "write" },
  params: { columns: "u32", inner4: "u32", panel4: "u32" },
});

/**
 * Transposes matrices `x` [B, N, K] into the second operand of `gemm()`: [B, K rounded up to a multiple of 4, N] in
 * panels, the added rows zeros. All of them must be bindable at once. Throws `RangeError` for another number of axes.
 */
export function transposePanels(rec: Recorder, x: Tensor, { label }: { readonly label: string }): Tensor {
  const [batch = 1, columns = 1] = x.shape;
  if (x.shape.length !== 3) {
    throw new RangeError(
      `Cannot run transpose_panels "${label}": "${x.label}" is [${x.shape}], wanted [B, N, K]`,
    );
  }
  const y = rec.tensor([batch, 4 * x.channels4, columns], label);
  const [across, down] = spread(Math.ceil(x.channels4 * y.channels4 / WORKGROUP));
  rec.run(transposePanelsKernel, {
    label,
    bindings: { x, y },
    params: { columns, inner4: x.channels4, panel4: Math.ceil(panelColumns(columns) / 4) },
    workgroups: [across, down, batch],
  });
  return y;
}
