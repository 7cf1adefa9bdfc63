import batchStatsSource from "../../wgsl/batch_norm_stats.wgsl" with { type: "text" };
import finalizeSource from "../../wgsl/group_norm_finalize.wgsl" with { type: "text" };
import statsSource from "../../wgsl/group_norm_stats.wgsl" with { type: "text" };
import applySource from "../../wgsl/norm_apply.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { type Activation, activationLibrary, ACTIVATIONS } from "./activation.ts";
import { rowBands, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;
/** Pixels that one invocation of `norm_apply` computes. */
const RUN = 4;
/** Statistics are gathered over chunks of this many pixels, or more where that would make too many chunks. */
const CHUNK_PIXELS = 64;
const MAX_CHUNKS = 1024;

/** Mean and squared deviations per channel over chunks of pixels. */
export const groupNormStatsKernel: Kernel = defineKernel({
  name: "group_norm_stats",
  source: statsSource,
  bindings: { x: "read", moments: "write" },
  params: {
    batch_begin: "u32",
    chunk_begin: "u32",
    chunks: "u32",
    all_chunks: "u32",
    chunk_pixels: "u32",
    pixels: "u32",
    channels4: "u32",
    channel4_begin: "u32",
    moments_channels4: "u32",
    x_base: "u32",
  },
});

/** Mean and scale per channel from the chunks of its group. */
export const groupNormFinalizeKernel: Kernel = defineKernel({
  name: "group_norm_finalize",
  source: finalizeSource,
  bindings: { moments: "read", weight: "read", stats: "write" },
  params: {
    chunks: "u32",
    chunk_pixels: "u32",
    pixels: "u32",
    channels: "u32",
    group_channels: "u32",
    has_weight: "u32",
    eps: "f32",
  },
});

/** Mean and scale per channel from stored statistics. */
export const batchNormStatsKernel: Kernel = defineKernel({
  name: "batch_norm_stats",
  source: batchStatsSource,
  bindings: { mean: "read", variance: "read", weight: "read", stats: "write" },
  params: { channels4: "u32", has_weight: "u32", eps: "f32" },
});

/** Normalises by given statistics, then bias and activation. */
export const normApplyKernel: Kernel = defineKernel({
  name: "norm_apply",
  source: applySource,
  library: [activationLibrary],
  bindings: { x: "read", stats: "read", bias: "read", y: "write" },
  params: {
    batch_begin: "u32",
    pixel_begin: "u32",
    pixels: "u32",
    runs: "u32",
    image_pixels: "u32",
    channels4: "u32",
    channel4_begin: "u32",
    y_channels: "u32",
    stats_stride4: "u32",
    has_bias: "u32",
    x_base: "u32",
    y_base: "u32",
  },
  variants: Object.values(ACTIVATIONS).map((ACTIVATION) => ({ ACTIVATION })),
});

/** What all normalisations take; `weight` and `bias` are [1, C]. */
interface AffineOptions {
  readonly weight?: Tensor | undefined;
  readonly bias?: Tensor | undefined;
  /** Added to the variance. */
  readonly eps: number;
  /** After scale and bias; default "none". */
  readonly activation?: Activation;
  readonly label: string;
}

/** Options of `groupNorm()`. */
export interface GroupNormOptions extends AffineOptions {
  /** A divisor of the number of channels. */
  readonly groups: number;
}

/** Options of `instanceNorm()`. */
export type InstanceNormOptions = Omit<AffineOptions, "weight" | "bias">;

/** Options of `batchNorm()`. */
export interface BatchNormOptions extends AffineOptions {
  /** Stored mean and variance, each [1, C]; or "image": those of the batch at hand over N, H and W. */
  readonly statistics: { readonly mean: Tensor; readonly variance: Tensor } | "image";
}

/**
 * Normalises each image of `x` [N, H, W, C] or [N, L, C] within groups of consecutive channels, by the biased
 * variance. Two tensors stand for their concatenation along the channels, and groups may straddle the border.
 * Returns a tensor of the (concatenated) shape. Throws `RangeError` where shapes do not fit, and for two tensors
 * whose channels are not multiples of 4.
 */
export function groupNorm(
  rec: Recorder,
  x: Tensor | readonly [Tensor, Tensor],
  options: GroupNormOptions,
): Tensor {
  return applyNorm(rec, x, { ...options, stats: groupNormStats(rec, x, options) });
}

/** The statistics of `groupNorm()` alone: [N, 2, C] with mean and weight / sqrt(variance + eps) per channel. */
export function groupNormStats(
  rec: Recorder,
  x: Tensor | readonly [Tensor, Tensor],
  options: Omit<GroupNormOptions, "bias" | "activation">,
): Tensor {
  return measure(rec, concatenation(x, options.label), options);
}

/** A norm whose statistics are known: activation((x - mean) · scale + bias). */
export interface KnownNorm {
  /** [N, 2, C] or [1, 2, C]: mean and scale per channel. */
  readonly stats: Tensor;
  /** [1, C]. */
  readonly bias?: Tensor | undefined;
  /** Default "none". */
  readonly activation?: Activation;
}

/** Applies a norm to `x`, or to the channel concatenation of two tensors. Returns a tensor of the whole shape. */
export function applyNorm(
  rec: Recorder,
  x: Tensor | readonly [Tensor, Tensor],
  options: KnownNorm & { readonly label: string },
): Tensor {
  return apply(rec, concatenation(x, options.label), options);
}

/** Normalises each channel of each image of `x` [N, H, W, C] or [N, L, C]. Returns a tensor of the same shape. */
export function instanceNorm(rec: Recorder, x: Tensor, options: InstanceNormOptions): Tensor {
  return groupNorm(rec, x, { ...options, groups: x.size(-1) });
}

/**
 * Normalises each channel of `x` [N, H, W, C] or [N, L, C] by stored statistics or by the biased ones of the whole
 * batch. Returns a tensor of the same shape. Throws `RangeError` where shapes do not fit.
 */
export function batchNorm(rec: Recorder, x: Tensor, options: BatchNormOptions): Tensor {
  const { statistics, weight, eps, label } = options;
  const [batch = 1, ...rest] = x.shape, channels = x.size(-1);
  if (statistics === "image") {
    const all = x.reshape([1, batch * rest[0]!, ...rest.slice(1)]);
    const y = groupNorm(rec, all, { ...options, groups: channels });
    return y.reshape(x.shape);
  }
  const { mean, variance } = statistics;
  checkChannels(channels, [mean, variance, weight], label);
  const stats = rec.tensor([1, 2, channels], `${label}.stats`);
  rec.run(batchNormStatsKernel, {
    label,
    bindings: { mean, variance, weight: weight ?? null, stats },
    params: { channels4: x.channels4, has_weight: weight ? 1 : 0, eps },
    workgroups: [Math.ceil(x.channels4 / WORKGROUP), 1, 1],
  });
  return applyNorm(rec, x, { ...options, stats });
}

/** One or two tensors side by side along the channels. */
interface Concatenation {
  readonly parts: readonly { readonly x: Tensor; readonly channel4Begin: number }[];
  readonly shape: readonly number[];
  readonly batch: number;
  readonly pixels: number;
  readonly channels: number;
  readonly channels4: number;
}

function concatenation(x: Tensor | readonly [Tensor, Tensor], label: string): Concatenation {
  const tensors: readonly Tensor[] = "shape" in x ? [x] : x;
  const { shape } = tensors[0]!;
  const [batch = 1, ...rest] = shape;
  if (shape.length < 3) {
    throw new RangeError(
      `Cannot run group_norm "${label}": input [${shape}], [N, H, W, C] or [N, L, C] wanted`,
    );
  }
  for (const other of tensors.slice(1)) {
    const channels = tensors.map((t) => t.size(-1));
    if (String(other.shape.slice(0, -1)) !== String(shape.slice(0, -1)) || channels.some((c) => c % 4)) {
      throw new RangeError(
        `Cannot run group_norm "${label}": inputs [${shape}] and [${other.shape}], equal sizes and channels in multiples of 4 wanted`,
      );
    }
  }
  let channels4 = 0;
  const parts = tensors.map((t) => ({ x: t, channel4Begin: (channels4 += t.channels4) - t.channels4 }));
  const channels = tensors.reduce((sum, t) => sum + t.size(-1), 0);
  const pixels = rest.slice(0, -1).reduce((a, b) => a * b, 1);
  return { parts, shape: [...shape.slice(0, -1), channels], batch, pixels, channels, channels4 };
}

/** Records the statistics [N, 2, C]: mean, and weight / sqrt(variance + eps). */
function measure(
  rec: Recorder,
  input: Concatenation,
  options: Omit<GroupNormOptions, "bias" | "activation">,
): Tensor {
  const { groups, weight, eps, label } = options;
  const { batch, pixels, channels } = input;
  if (!Number.isInteger(groups) || groups < 1 || channels % groups) {
    throw new RangeError(
      `Cannot run group_norm "${label}": ${channels} channels do not divide into ${groups} groups`,
    );
  }
  checkChannels(channels, [weight], label);
  const chunkPixels = Math.max(CHUNK_PIXELS, Math.ceil(pixels / MAX_CHUNKS));
  const chunks = Math.ceil(pixels / chunkPixels);
  const moments = rec.tensor([batch, chunks, 2, channels], `${label}.moments`);
  for (const { x, channel4Begin } of input.parts) {
    const chunkBytes = 16 * chunkPixels * x.channels4;
    const bands = rowBands({
      batch,
      height: chunks,
      maxBindingBytes: rec.gpu.facts.maxBindingBytes,
      tensors: [{ total: x.storage.byteLength, band: (rows) => rows * chunkBytes }],
      label,
    });
    for (const band of bands) {
      const end = Math.min((band.rowBegin + band.rows) * chunkPixels, pixels);
      const source = slice(
        x,
        (band.batchBegin * pixels + band.rowBegin * chunkPixels) * x.channels4,
        ((band.batchBegin + band.batch - 1) * pixels + end) * x.channels4,
      );
      const [width, height] = spread(Math.ceil(band.rows * x.channels4 / WORKGROUP));
      rec.run(groupNormStatsKernel, {
        label,
        bindings: { x: source, moments },
        params: {
          batch_begin: band.batchBegin,
          chunk_begin: band.rowBegin,
          chunks: band.rows,
          all_chunks: chunks,
          chunk_pixels: chunkPixels,
          pixels,
          channels4: x.channels4,
          channel4_begin: channel4Begin,
          moments_channels4: input.channels4,
          x_base: source.base,
        },
        workgroups: [width, height, band.batch],
      });
    }
  }
  const stats = rec.tensor([batch, 2, channels], `${label}.stats`);
  rec.run(groupNormFinalizeKernel, {
    label,
    bindings: { moments, weight: weight ?? null, stats },
    params: {
      chunks,
      chunk_pixels: chunkPixels,
      pixels,
      channels,
      group_channels: channels / groups,
      has_weight: weight ? 1 : 0,
      eps,
    },
    workgroups: [groups, batch, 1],
  });
  return stats;
}

/** Records activation((x - mean) · scale + bias). */
function apply(rec: Recorder, input: Concatenation, options: KnownNorm & { readonly label: string }): Tensor {
  const { stats, bias, activation = "none", label } = options;
  const { batch, pixels, channels, channels4 } = input;
  checkChannels(channels, [bias], label);
  const y = rec.tensor(input.shape, label);
  for (const { x, channel4Begin } of input.parts) {
    const bands = rowBands({
      batch,
      height: pixels,
      maxBindingBytes: rec.gpu.facts.maxBindingBytes,
      tensors: [x, y].map((t) => ({
        total: t.storage.byteLength,
        band: (rows) => 16 * rows * t.channels4,
      })),
      label,
    });
    for (const band of bands) {
      const from = band.batchBegin * pixels + band.rowBegin;
      const to = (band.batchBegin + band.batch - 1) * pixels + band.rowBegin + band.rows;
      const source = slice(x, from * x.channels4, to * x.channels4);
      const target = slice(y, from * channels4, to * channels4);
      const runs = Math.ceil(band.rows / RUN);
      const [width, height] = spread(Math.ceil(runs * x.channels4 / WORKGROUP));
      rec.run(normApplyKernel, {
        label,
        constants: { ACTIVATION: ACTIVATIONS[activation] },
        bindings: { x: source, stats, bias: bias ?? null, y: target },
        params: {
          batch_begin: band.batchBegin,
          pixel_begin: band.rowBegin,
          pixels: band.rows,
          runs,
          image_pixels: pixels,
          channels4: x.channels4,
          channel4_begin: channel4Begin,
          y_channels: channels,
          stats_stride4: stats.size(0) > 1 ? 2 * channels4 : 0,
          has_bias: bias ? 1 : 0,
          x_base: source.base,
          y_base: target.base,
        },
        workgroups: [width, height, band.batch],
      });
    }
  }
  return y;
}

function checkChannels(channels: number, values: readonly (Tensor | undefined)[], label: string): void {
  for (const tensor of values) {
    if (tensor) assertShape(tensor, [1, channels], { kernel: "group_norm", label });
  }
}
