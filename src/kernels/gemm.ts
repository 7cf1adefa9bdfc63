import subgroupSource from "../../wgsl/gemm_subgroup.wgsl" with { type: "text" };
import tiledSource from "../../wgsl/gemm.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { type Recorder, slice } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { gemmVariant, subgroupTiles, workgroupTiles } from "./tuning.ts";

const shared = {
  bindings: { a: "read", b: "read", c: "write" },
  params: { rows: "u32", inner4: "u32", columns4: "u32", a_base: "u32", b_base: "u32", c_base: "u32" },
} as const;

/** Tiles in workgroup memory. */
export const gemmKernel: Kernel = defineKernel({
  ...shared,
  name: "gemm",
  source: tiledSource,
  variants: workgroupTiles,
});

/** Tiles in registers, one operand by subgroup broadcast. */
export const gemmSubgroupKernel: Kernel = defineKernel({
  ...shared,
  name: "gemm_subgroup",
  source: subgroupSource,
  subgroups: true,
  variants: subgroupTiles,
});

/**
 * Batched matrix product: `a` [B, M, K] · `b` [B, K, N] → [B, M, N], f32; K is a multiple of 4. Throws `RangeError`
 * where shapes do not fit or one matrix exceeds what can be bound.
 */
export function gemm(rec: Recorder, a: Tensor, b: Tensor, { label }: { readonly label: string }): Tensor {
  const [batch = 1, rows = 1, inner = 1] = a.shape, columns = b.size(-1);
  if (inner % 4 || b.size(0) !== batch || b.size(1) !== inner) {
    throw new RangeError(`Cannot run gemm "${label}": [${a.shape}] times [${b.shape}]`);
  }
  const c = rec.tensor([batch, rows, columns], label);
  const variant = gemmVariant(rec.gpu.facts, { rows, columns4: c.channels4 });
  const kernel = variant.kernel === "tiled" ? gemmKernel : gemmSubgroupKernel;
  const tensors = [a, b, c] as const;
  const largest = Math.max(...tensors.map((t) => t.storage.byteLength / batch));
  const perDispatch = Math.max(1, Math.floor((rec.gpu.facts.maxBindingBytes - 256) / largest));
  const fits = tensors.every((t) => t.storage.byteLength <= rec.gpu.facts.maxBindingBytes);
  const step = fits ? batch : perDispatch;
  for (let first = 0; first < batch; first += step) {
    const end = Math.min(first + step, batch);
    const [sa, sb, sc] = tensors.map((t) => slice(t, first * t.vec4s / batch, end * t.vec4s / batch));
    rec.run(kernel, {
      label,
      constants: variant.constants,
      bindings: { a: sa!, b: sb!, c: sc! },
      params: {
        rows,
        inner4: inner / 4,
        columns4: c.channels4,
        a_base: first * a.vec4s / batch - sa!.base,
        b_base: first * b.vec4s / batch - sb!.base,
        c_base: first * c.vec4s / batch - sc!.base,
      },
      workgroups: [
        Math.ceil(rows / variant.tileRows),
        Math.ceil(c.channels4 / variant.tileColumns4),
        end - first,
      ],
    });
  }
  return c;
}
