import io from "../../wgsl/lib/gemm_io.wgsl" with { type: "text" };
import panelsLibrary from "../../wgsl/lib/panels.wgsl" with { type: "text" };
import subgroupSource from "../../wgsl/gemm_subgroup.wgsl" with { type: "text" };
import tiledSource from "../../wgsl/gemm.wgsl" with { type: "text" };
import type { Variant } from "../gpu/autotune.ts";
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands } from "./bands.ts";
import { panelColumns } from "./panels.ts";
import { weightStorage } from "./storage.ts";
import { gemmCandidates, subgroupTiles, workgroupTiles } from "./tuning.ts";

const shared = {
  library: [panelsLibrary, io],
  storage: { weight: weightStorage },
  bindings: { a: "read", weight: "read", c: "write" },
  params: {
    rows: "u32",
    inner4: "u32",
    columns4: "u32",
    panel4: "u32",
    a_base: "u32",
    weight_base: "u32",
    c_base: "u32",
  },
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
 * Batched matrix product: `a` [B, M, K] · `b` [B, K, N] → [B, M, N], f32; K is a multiple of 4, and the matrices of `b`
 * are in panels, as `packPanels()` makes them. Throws `RangeError`
 * where shapes do not fit or one matrix exceeds what can be bound.
 */
export function gemm(rec: Recorder, a: Tensor, b: Tensor, { label }: { readonly label: string }): Tensor {
  const [batch = 1, rows = 1, inner = 1] = a.shape, columns = b.size(-1);
  if (a.shape.length !== 3 || inner % 4 || String(b.shape) !== String([batch, inner, columns])) {
    throw new RangeError(
      `Cannot run gemm "${label}": [${a.shape}] times [${b.shape}], [B, M, K] times [B, K, N] with K a multiple of 4 wanted`,
    );
  }
  const c = rec.tensor([batch, rows, columns], label);
  const candidates = gemmCandidates(rec.gpu.facts, { rows, columns4: c.channels4, batch });
  // Each matrix is computed by itself: bands of matrices serve as well as bands of rows.
  const bands = rowBands({
    batch: 1,
    height: batch,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [a, b, c].filter((t) => !t.inTexture).map((t) => ({
      total: t.storage.byteLength,
      band: (matrices) => t.storage.byteLength / batch * matrices,
    })),
    label,
  });
  for (const { rowBegin: first, rows: matrices } of bands) {
    const band = (t: Tensor) => {
      const size = t.vec4s / batch;
      if (t.inTexture) return { bound: t, base: first * size };
      const bound = slice(t, first * size, (first + matrices) * size);
      return { bound, base: first * size - bound.base };
    };
    const aBand = band(a), bBand = band(b), cBand = band(c);
    const variants = candidates.map(({ kernel, constants, tileRows, tileColumns4 }): Variant => ({
      kernel: kernel === "tiled" ? gemmKernel : gemmSubgroupKernel,
      constants,
      workgroups: [Math.ceil(rows / tileRows), Math.ceil(c.channels4 / tileColumns4), matrices],
    }));
    rec.runOneOf(variants, {
      label,
      key: `gemm ${b.storageKind} ${[...a.shape, columns].join("x")}`,
      work: matrices * rows * inner * columns,
      bindings: { a: aBand.bound, weight: bBand.bound, c: cBand.bound },
      params: {
        rows,
        inner4: inner / 4,
        columns4: c.channels4,
        panel4: Math.ceil(panelColumns(columns) / 4),
        a_base: aBand.base,
        weight_base: bBand.base,
        c_base: cBand.base,
      },
    });
  }
  return c;
}
