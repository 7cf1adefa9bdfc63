import source from "../../wgsl/correlation.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { assertShape, imageShape } from "./shape.ts";

/** Larger windows exceed the 16 KiB of workgroup memory that every device has. */
const MAX_RADIUS = 8;
/** GPUs want neighbouring lanes on neighbouring channels; a software adapter wants no more than one subgroup. */
const LANES = { gpu: { LANES_C: 8, LANES_P: 8 }, software: { LANES_C: 2, LANES_P: 4 } } as const;

/** Look-up in one level of the pyramid. */
export const correlationKernel: Kernel = defineKernel({
  name: "correlation",
  source,
  bindings: { f1: "read", f2: "read", flow: "read", y: "write" },
  params: {
    pixel_begin: "u32",
    pixels: "u32",
    height: "u32",
    width: "u32",
    height2: "u32",
    width2: "u32",
    channels4: "u32",
    level_scale: "f32",
    scale: "f32",
    y_stride: "u32",
    channel_begin: "u32",
    channels_written: "u32",
    f1_base: "u32",
    flow_base: "u32",
    y_base: "u32",
  },
  variants: Object.values(LANES).flatMap((lanes) =>
    Array.from({ length: MAX_RADIUS }, (_, i) => ({ RADIUS: i + 1, ...lanes }))
  ),
});

/** Options of `correlation()`. */
export interface CorrelationOptions {
  /** Second image's features at level l: [N, floor(h / 2^l), floor(w / 2^l), C], average-pooled. */
  readonly pyramid: readonly Tensor[];
  /** [N, h, w, 2], x then y, in pixels of the features. */
  readonly flow: Tensor;
  /** Largest offset of the window, 1 to 8. */
  readonly radius: number;
  readonly label: string;
}

/**
 * For each pixel of `f1` [N, h, w, C], its dot products with the second image's features around the place the flow
 * points to, divided by √C: bilinear, zero outside. Returns [N, h, w, levels · (2 · radius + 1)²], channels ordered
 * by level, offset in x (slow), offset in y (fast). The features of a level must be bindable whole. Throws
 * `RangeError` where shapes do not fit.
 */
export function correlation(rec: Recorder, f1: Tensor, options: CorrelationOptions): Tensor {
  const { pyramid, flow, radius, label } = options;
  const [batch, height, width, channels] = checkedShape(f1, options);
  const taps = (2 * radius + 1) ** 2;
  const y = rec.tensor([batch, height, width, pyramid.length * taps], label);
  // Each pixel is computed by itself: bands of pixels serve as well as bands of rows.
  const bands = rowBands({
    batch: 1,
    height: batch * height * width,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [f1, flow, y].map((t) => ({
      total: t.storage.byteLength,
      band: (pixels) => 16 * t.channels4 * pixels,
    })),
    label,
  });
  pyramid.forEach((f2, level) => {
    const channelBegin = level * taps;
    const last = level === pyramid.length - 1;
    for (const { rowBegin: from, rows: pixels } of bands) {
      const band = (t: Tensor) => slice(t, from * t.channels4, (from + pixels) * t.channels4);
      const f1Band = band(f1), flowBand = band(flow), yBand = band(y);
      rec.run(correlationKernel, {
        label,
        constants: { RADIUS: radius, ...(rec.gpu.facts.software ? LANES.software : LANES.gpu) },
        bindings: { f1: f1Band, f2, flow: flowBand, y: yBand },
        params: {
          pixel_begin: from,
          pixels,
          height,
          width,
          height2: f2.size(1),
          width2: f2.size(2),
          channels4: f1.channels4,
          level_scale: 2 ** -level,
          scale: 1 / Math.sqrt(channels),
          y_stride: 4 * y.channels4,
          channel_begin: channelBegin,
          channels_written: last ? 4 * y.channels4 - channelBegin : taps,
          f1_base: f1Band.base,
          flow_base: flowBand.base,
          y_base: 4 * yBand.base,
        },
        workgroups: spread(pixels),
      });
    }
  });
  return y;
}

function checkedShape(f1: Tensor, options: CorrelationOptions): [number, number, number, number] {
  const { pyramid, flow, radius, label } = options;
  const where = { kernel: "correlation", label };
  const shape = imageShape(f1, where);
  const [batch, height, width, channels] = shape;
  assertShape(flow, [batch, height, width, 2], where);
  pyramid.forEach((f2, level) => {
    assertShape(f2, [batch, height >> level, width >> level, channels], where);
  });
  if (!Number.isInteger(radius) || radius < 1 || radius > MAX_RADIUS || pyramid.length === 0) {
    throw new RangeError(
      `Cannot run correlation "${label}": radius ${radius} and ${pyramid.length} levels, ` +
        `wanted radius 1 to ${MAX_RADIUS} and at least one level`,
    );
  }
  return shape;
}
