import source from "../../wgsl/avg_pool2d.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { imageShape } from "./shape.ts";

const WORKGROUP = 64;

/** 2 × 2 average pooling. */
export const avgPool2dKernel: Kernel = defineKernel({
  name: "avg_pool2d",
  source,
  bindings: { x: "read", y: "write" },
  params: {
    batch_begin: "u32",
    batch: "u32",
    row_begin: "u32",
    rows: "u32",
    height: "u32",
    width: "u32",
    channels4: "u32",
    x_base: "u32",
    y_base: "u32",
  },
});

/**
 * Means of the 2 × 2 blocks of `x` [N, H, W, C]; an odd last row or column is dropped. Returns [N, ⌊H/2⌋, ⌊W/2⌋, C].
 * Throws `RangeError` for fewer than two rows or columns.
 */
export function avgPool2d(rec: Recorder, x: Tensor, { label }: { readonly label: string }): Tensor {
  const [batch, height, width, channels] = imageShape(x, { kernel: "avg_pool2d", label });
  if (height < 2 || width < 2) {
    throw new RangeError(
      `Cannot run avg_pool2d "${label}": "${x.label}" is [${x.shape}], wanted 2×2 or more`,
    );
  }
  const outHeight = Math.floor(height / 2), outWidth = Math.floor(width / 2);
  const y = rec.tensor([batch, outHeight, outWidth, channels], label);
  const inRow = width * x.channels4, outRow = outWidth * x.channels4;
  const bands = rowBands({
    batch,
    height: outHeight,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    label,
    tensors: [{ total: x.storage.byteLength, band: (rows) => 16 * inRow * 2 * rows }],
  });
  for (const { batchBegin, batch, rowBegin, rows } of bands) {
    const last = batchBegin + batch - 1;
    const source = slice(
      x,
      (batchBegin * height + 2 * rowBegin) * inRow,
      (last * height + 2 * (rowBegin + rows)) * inRow,
    );
    const target = slice(
      y,
      (batchBegin * outHeight + rowBegin) * outRow,
      (last * outHeight + rowBegin + rows) * outRow,
    );
    rec.run(avgPool2dKernel, {
      label,
      bindings: { x: source, y: target },
      params: {
        batch_begin: batchBegin,
        batch,
        row_begin: rowBegin,
        rows,
        height,
        width,
        channels4: x.channels4,
        x_base: source.base,
        y_base: target.base,
      },
      workgroups: spread(Math.ceil(batch * rows * outRow / WORKGROUP)),
    });
  }
  return y;
}
