import source from "../../wgsl/correlation.wgsl" with { type: "text" };
import lookupSource from "../../wgsl/correlation_lookup.wgsl" with { type: "text" };
import windowLibrary from "../../wgsl/lib/correlation_window.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { gemm } from "./gemm.ts";
import { assertShape, imageShape } from "./shape.ts";
import { transposePanels } from "./transpose_panels.ts";

const LOOKUP_WORKGROUP = 64;

/** Larger windows exceed the 16 KiB of workgroup memory that every device has. */
const MAX_RADIUS = 8;
/** GPUs want neighbouring lanes on neighbouring channels; a software adapter wants no more than one subgroup. */
const LANES = { gpu: { LANES_C: 8, LANES_P: 8 }, software: { LANES_C: 1, LANES_P: 8 } } as const;

/** What both look-ups are told. */
const windowParams = {
  pixel_begin: "u32",
  pixels: "u32",
  height: "u32",
  width: "u32",
  height2: "u32",
  width2: "u32",
  level_scale: "f32",
  scale: "f32",
  y_stride: "u32",
  channel_begin: "u32",
  channels_written: "u32",
  flow_base: "u32",
  y_base: "u32",
} as const;

/** Look-up in one level of the pyramid; dot products are computed where they are looked up. */
export const correlationKernel: Kernel = defineKernel({
  name: "correlation",
  source,
  library: [windowLibrary],
  bindings: { f1: "read", f2: "read", flow: "read", y: "write" },
  params: {
    ...windowParams,
    channels4: "u32",
    f1_base: "u32",
  },
  variants: Object.values(LANES).flatMap((lanes) =>
    Array.from({ length: MAX_RADIUS }, (_, i) => ({ RADIUS: i + 1, ...lanes }))
  ),
});

/** Look-up in one level of the pyramid, from all its dot products. */
export const correlationLookupKernel: Kernel = defineKernel({
  name: "correlation_lookup",
  source: lookupSource,
  library: [windowLibrary],
  bindings: { volume: "read", flow: "read", y: "write" },
  params: {
    ...windowParams,
    volume_stride: "u32",
    volume_base: "u32",
  },
  variants: Array.from({ length: MAX_RADIUS }, (_, i) => ({ RADIUS: i + 1 })),
});

/** Options of `correlation()`. */
export interface CorrelationOptions {
  /** Second image's features at level l: [N, floor(h / 2^l), floor(w / 2^l), C], average-pooled. */
  readonly pyramid: readonly Tensor[];
  /** For each level what `correlationVolume()` returned, or null to compute the dot products that are looked up. */
  readonly volumes?: readonly (Tensor | null)[];
  /** [N, h, w, 2], x then y, in pixels of the features. */
  readonly flow: Tensor;
  /** Largest offset of the window, 1 to 8. */
  readonly radius: number;
  readonly label: string;
}

/**
 * For each pixel of `f1` [N, h, w, C], its dot products with the second image's features around the place the flow
 * points to, divided by √C: bilinear, zero outside. Returns [N, h, w, levels · (2 · radius + 1)²], channels ordered
 * by level, offset in x (slow), offset in y (fast). On software adapters volumes change no byte. The features of a
 * level must be bindable whole. Throws `RangeError` where shapes do not fit.
 */
export function correlation(rec: Recorder, f1: Tensor, options: CorrelationOptions): Tensor {
  const { pyramid, volumes = [], flow, radius, label } = options;
  const [batch, height, width, channels] = checkedShape(f1, options);
  const taps = (2 * radius + 1) ** 2;
  const y = rec.tensor([batch, height, width, pyramid.length * taps], label);
  // Each pixel is computed by itself: bands of pixels serve as well as bands of rows.
  const bands = rowBands({
    batch: 1,
    height: batch * height * width,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [f1, flow, y, ...volumes.filter((volume) => volume !== null)].map((t) => ({
      total: t.storage.byteLength,
      band: (pixels) => 16 * t.channels4 * pixels,
    })),
    label,
  });
  pyramid.forEach((f2, level) => {
    const volume = volumes[level] ?? null;
    const channelBegin = level * taps;
    const last = level === pyramid.length - 1;
    for (const { rowBegin: from, rows: pixels } of bands) {
      const band = (t: Tensor) => slice(t, from * t.channels4, (from + pixels) * t.channels4);
      const flowBand = band(flow), yBand = band(y);
      const params = {
        pixel_begin: from,
        pixels,
        height,
        width,
        height2: f2.size(1),
        width2: f2.size(2),
        level_scale: 2 ** -level,
        scale: 1 / Math.sqrt(channels),
        y_stride: 4 * y.channels4,
        channel_begin: channelBegin,
        channels_written: last ? 4 * y.channels4 - channelBegin : taps,
        flow_base: flowBand.base,
        y_base: 4 * yBand.base,
      };
      if (volume) {
        const volumeBand = band(volume);
        rec.run(correlationLookupKernel, {
          label,
          constants: { RADIUS: radius },
          bindings: { volume: volumeBand, flow: flowBand, y: yBand },
          params: { ...params, volume_stride: 4 * volume.channels4, volume_base: 4 * volumeBand.base },
          workgroups: spread(Math.ceil(pixels / LOOKUP_WORKGROUP)),
        });
        continue;
      }
      const f1Band = band(f1);
      rec.run(correlationKernel, {
        label,
        constants: { RADIUS: radius, ...(rec.gpu.facts.software ? LANES.software : LANES.gpu) },
        bindings: { f1: f1Band, f2, flow: flowBand, y: yBand },
        params: { ...params, channels4: f1.channels4, f1_base: f1Band.base },
        workgroups: spread(pixels),
      });
    }
  });
  return y;
}

/** Bytes of what `correlationVolume()` returns for features of these shapes. */
export function correlationVolumeBytes(f1: Tensor, f2: Tensor): number {
  return 16 * f1.size(0) * f1.size(1) * f1.size(2) * Math.ceil(f2.size(1) * f2.size(2) / 4);
}

/**
 * The dot products of all pixels of `f1` [N, h, w, C] with all pixels of a level `f2` [N, h2, w2, C], as a tensor
 * [N, h, w, h2 · w2], which with the features must be bindable whole for one image.
 */
export function correlationVolume(
  rec: Recorder,
  f1: Tensor,
  { f2, label }: { readonly f2: Tensor; readonly label: string },
): Tensor {
  const [batch, height, width, channels] = imageShape(f1, { kernel: "correlation", label });
  const pixels2 = f2.size(1) * f2.size(2);
  const operand = transposePanels(rec, f2.reshape([batch, pixels2, channels]), { label });
  const inner = 4 * f1.channels4;
  const rows = new Tensor([batch, height * width, inner], f1.label, f1);
  return gemm(rec, rows, operand, { label }).reshape([batch, height, width, pixels2]);
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
