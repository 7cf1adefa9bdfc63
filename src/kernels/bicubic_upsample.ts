import source from "../../wgsl/bicubic_upsample.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { imageShape } from "./shape.ts";

const WORKGROUP = 64;

/** Bicubic enlargement with replicated edges. */
export const bicubicUpsampleKernel: Kernel = defineKernel({
  name: "bicubic_upsample",
  source,
  bindings: { x: "read", y: "write" },
  params: {
    batch_begin: "u32",
    batch: "u32",
    row_begin: "u32",
    rows: "u32",
    height: "u32",
    width: "u32",
    out_height: "u32",
    out_width: "u32",
    channels4: "u32",
    factor: "u32",
    x_base: "u32",
    y_base: "u32",
  },
});

/** Options of `bicubicUpsample()`. */
export interface BicubicUpsampleOptions {
  /** Positive integer; 1 only pads, and copies exactly. */
  readonly factor: number;
  /** At least `factor` · h, the default; rows beyond repeat the last one. */
  readonly height?: number;
  /** At least `factor` · w, the default; columns beyond repeat the last one. */
  readonly width?: number;
  readonly label: string;
}

/**
 * Enlarges `x` [N, h, w, C] as PyTorch's `interpolate(mode="bicubic", align_corners=False)`: a = -0.75, border
 * repeated, no clamping of values. Returns [N, height, width, C]. Throws `RangeError` where sizes do not fit.
 */
export function bicubicUpsample(rec: Recorder, x: Tensor, options: BicubicUpsampleOptions): Tensor {
  const { factor, label } = options;
  const [batch, height, width, channels] = imageShape(x, { kernel: "bicubic_upsample", label });
  const { height: outHeight = factor * height, width: outWidth = factor * width } = options;
  if (!Number.isInteger(factor) || factor < 1 || outHeight < factor * height || outWidth < factor * width) {
    throw new RangeError(
      `Cannot run bicubic_upsample "${label}": ${height}×${width} by factor ${factor} to ${outHeight}×${outWidth}, wanted an integer factor and no smaller output`,
    );
  }
  const y = rec.tensor([batch, outHeight, outWidth, channels], label);
  const inRow = width * x.channels4, outRow = outWidth * x.channels4;

  /** The second of the four source rows that an output row reads. */
  function sourceRow(row: number): number {
    return Math.floor((2 * Math.min(row, factor * height - 1) + 1 - factor) / (2 * factor));
  }

  const bands = rowBands({
    batch,
    height: outHeight,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    label,
    tensors: [
      { total: y.storage.byteLength, band: (rows) => 16 * outRow * rows },
      { total: x.storage.byteLength, band: (rows) => 16 * inRow * (Math.ceil(rows / factor) + 4) },
    ],
  });
  for (const { batchBegin, batch, rowBegin, rows } of bands) {
    const last = batchBegin + batch - 1;
    const firstRow = Math.max(sourceRow(rowBegin) - 1, 0);
    const lastRow = Math.min(sourceRow(rowBegin + rows - 1) + 2, height - 1);
    const source = slice(
      x,
      (batchBegin * height + firstRow) * inRow,
      (last * height + lastRow + 1) * inRow,
    );
    const target = slice(
      y,
      (batchBegin * outHeight + rowBegin) * outRow,
      (last * outHeight + rowBegin + rows) * outRow,
    );
    rec.run(bicubicUpsampleKernel, {
      label,
      bindings: { x: source, y: target },
      params: {
        batch_begin: batchBegin,
        batch,
        row_begin: rowBegin,
        rows,
        height,
        width,
        out_height: outHeight,
        out_width: outWidth,
        channels4: x.channels4,
        factor,
        x_base: source.base,
        y_base: target.base,
      },
      workgroups: spread(Math.ceil(batch * rows * outRow / WORKGROUP)),
    });
  }
  return y;
}
