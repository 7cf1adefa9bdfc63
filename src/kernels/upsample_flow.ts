import source from "../../wgsl/upsample_flow.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { flowPairs } from "./flow_pairs.ts";
import { assertShape, imageShape } from "./shape.ts";

const FACTOR = 8;
/** 9 neighbours for each of 8 × 8 pixels. */
const MASK_CHANNELS = 9 * FACTOR * FACTOR;
const WORKGROUP = 64;

/** Convex or bilinear enlargement of flow. */
export const upsampleFlowKernel: Kernel = defineKernel({
  name: "upsample_flow",
  source,
  bindings: { flow: "read", mask: "read", y: "write" },
  params: {
    batch_begin: "u32",
    batch: "u32",
    row_begin: "u32",
    rows: "u32",
    height: "u32",
    width: "u32",
    out_height: "u32",
    out_width: "u32",
    step: "u32",
    has_mask: "u32",
    mask_base: "u32",
    y_base: "u32",
  },
});

/** Options of `upsampleFlow()`. */
export interface UpsampleFlowOptions {
  /** [N, h, w, 576]: the weights before the softmax; without it the flow is interpolated bilinearly. */
  readonly mask?: Tensor | undefined;
  /** Only the pixels (step · i, step · j) are made, default 1: all. */
  readonly step?: 1 | 2 | 4 | 8;
  /** Rows of the result in full-size pixels, at most 8 · h. */
  readonly height: number;
  /** Columns of the result in full-size pixels, at most 8 · w. */
  readonly width: number;
  readonly label: string;
}

/**
 * Takes a flow [N, h, w, 2] at 1/8 of the resolution, in its own pixels, to full resolution, in full-size pixels.
 * Returns `flowPairs()` of N images of ceil(height / step) × ceil(width / step). Throws `RangeError` where shapes do
 * not fit.
 */
export function upsampleFlow(rec: Recorder, flow: Tensor, options: UpsampleFlowOptions): Tensor {
  const { mask = null, step = 1, label } = options;
  const [batch, height, width] = checkedShape(flow, options);
  const outHeight = Math.ceil(options.height / step), outWidth = Math.ceil(options.width / step);
  const y = rec.tensor(flowPairs(batch, outHeight, outWidth), label);
  const pairs = y.size(2);
  const maskRow = mask ? width * mask.channels4 : 0;
  const bands = rowBands({
    batch,
    height: outHeight,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [
      { total: y.storage.byteLength, band: (rows) => 16 * pairs * rows },
      {
        total: mask?.storage.byteLength ?? 0,
        band: (rows) => 16 * maskRow * (Math.ceil(rows * step / FACTOR) + 1),
      },
    ],
    label,
  });
  for (const band of bands) {
    const lastImage = band.batchBegin + band.batch - 1, lastRow = band.rowBegin + band.rows - 1;
    const yBand = slice(
      y,
      (band.batchBegin * outHeight + band.rowBegin) * pairs,
      (lastImage * outHeight + lastRow + 1) * pairs,
    );
    const maskBand = mask && slice(
      mask,
      (band.batchBegin * height + Math.floor(band.rowBegin * step / FACTOR)) * maskRow,
      (lastImage * height + Math.floor(lastRow * step / FACTOR) + 1) * maskRow,
    );
    rec.run(upsampleFlowKernel, {
      label,
      bindings: { flow, mask: maskBand, y: yBand },
      params: {
        batch_begin: band.batchBegin,
        batch: band.batch,
        row_begin: band.rowBegin,
        rows: band.rows,
        height,
        width,
        out_height: outHeight,
        out_width: outWidth,
        step,
        has_mask: mask ? 1 : 0,
        mask_base: 4 * (maskBand?.base ?? 0),
        y_base: yBand.base,
      },
      workgroups: spread(Math.ceil(band.batch * band.rows * pairs / WORKGROUP)),
    });
  }
  return y;
}

function checkedShape(flow: Tensor, options: UpsampleFlowOptions): [number, number, number, number] {
  const { mask, step = 1, height, width, label } = options;
  const where = { kernel: "upsample_flow", label };
  const shape = imageShape(flow, where);
  const [batch, h, w] = shape;
  assertShape(flow, [batch, h, w, 2], where);
  if (mask) assertShape(mask, [batch, h, w, MASK_CHANNELS], where);
  if (!isSize(height, FACTOR * h) || !isSize(width, FACTOR * w) || ![1, 2, 4, 8].includes(step)) {
    throw new RangeError(
      `Cannot run upsample_flow "${label}": ${height}×${width} with step ${step}, ` +
        `wanted at most ${FACTOR * h}×${FACTOR * w} with step 1, 2, 4 or 8`,
    );
  }
  return shape;
}

function isSize(size: number, most: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= most;
}
