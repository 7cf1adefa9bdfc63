import directSource from "../../wgsl/conv2d_direct.wgsl" with { type: "text" };
import directSubgroupSource from "../../wgsl/conv2d_direct_subgroup.wgsl" with { type: "text" };
import subgroupSource from "../../wgsl/conv2d_subgroup.wgsl" with { type: "text" };
import tiledSource from "../../wgsl/conv2d.wgsl" with { type: "text" };
import io from "../../wgsl/lib/conv2d_io.wgsl" with { type: "text" };
import runLibrary from "../../wgsl/lib/conv2d_run.wgsl" with { type: "text" };
import panelsLibrary from "../../wgsl/lib/panels.wgsl" with { type: "text" };
import nearestLibrary from "../../wgsl/lib/nearest.wgsl" with { type: "text" };
import type { Variant } from "../gpu/autotune.ts";
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { StoredValues, Tensor } from "../gpu/tensor.ts";
import { type Activation, activationLibrary, ACTIVATIONS } from "./activation.ts";
import { type Band, rowBands, spread } from "./bands.ts";
import { panelColumns } from "./panels.ts";
import { weightStorage } from "./storage.ts";
import { directCandidates, directTiles, gemmCandidates, subgroupTiles, workgroupTiles } from "./tuning.ts";

const shared = {
  storage: { weight: weightStorage },
  library: [activationLibrary, nearestLibrary, panelsLibrary, io],
  bindings: { x: "read", weight: "read", bias: "read", channel_add: "read", residual: "read", y: "write" },
  params: {
    batch_begin: "u32",
    batch: "u32",
    row_begin: "u32",
    rows: "u32",
    src_height: "u32",
    src_width: "u32",
    in_height: "u32",
    in_width: "u32",
    in_channels4: "u32",
    out_height: "u32",
    out_width: "u32",
    out_channels: "u32",
    panel4: "u32",
    kernel_height: "u32",
    kernel_width: "u32",
    stride: "u32",
    pad_top: "i32",
    pad_left: "i32",
    add_stride4: "u32",
    has_bias: "u32",
    has_add: "u32",
    has_residual: "u32",
    has_relu: "u32",
    scale: "f32",
    x_base: "u32",
    residual_base: "u32",
    y_base: "u32",
  },
} as const;

/** Tiles in workgroup memory. */
export const conv2dKernel: Kernel = defineKernel({
  ...shared,
  name: "conv2d",
  source: tiledSource,
  variants: workgroupTiles,
});

/** Tiles in registers, weights by subgroup broadcast. */
export const conv2dSubgroupKernel: Kernel = defineKernel({
  ...shared,
  name: "conv2d_subgroup",
  source: subgroupSource,
  subgroups: true,
  variants: subgroupTiles,
});

const sharedByRuns = { ...shared, library: [...shared.library, runLibrary], variants: directTiles };

/** For few channels: runs of neighbouring pixels in registers, weights straight from memory. */
export const conv2dDirectKernel: Kernel = defineKernel({
  ...sharedByRuns,
  name: "conv2d_direct",
  source: directSource,
});

/** For few channels: runs of neighbouring pixels in registers, weights by subgroup broadcast. */
export const conv2dDirectSubgroupKernel: Kernel = defineKernel({
  ...sharedByRuns,
  name: "conv2d_direct_subgroup",
  source: directSubgroupSource,
  subgroups: true,
});

/** Zero rows and columns around the input, in pixels. */
export interface Padding {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

/** Options of `conv2d()`. Tensors of values per output channel are [1, O] or, where said, [N, O]. */
export interface Conv2dOptions {
  /** [KH·KW, C rounded up to a multiple of 4, O], from `packConv2dWeight()`. */
  readonly weight: Tensor;
  /** Kernel height and width. */
  readonly kernel: readonly [number, number];
  /** [1, O]. */
  readonly bias?: Tensor | undefined;
  /** In both directions, default 1. */
  readonly stride?: number;
  /** Same on all sides, or per side; default 0. */
  readonly padding?: number | Padding;
  /** After bias and `channelAdd`; default "none". */
  readonly activation?: Activation;
  /** Added per channel before the activation: [N, O] or [1, O]. */
  readonly channelAdd?: Tensor | undefined;
  /** Factor after the activation, default 1. */
  readonly scale?: number;
  /** Added last, shape of the output. */
  readonly residual?: Tensor | undefined;
  /** Added before the activation instead, e.g. the part of the sum over other input channels. Not with `residual`. */
  readonly accumulate?: Tensor | undefined;
  /** Reads the input as if resized to this height and width, nearest neighbour floor(i · in / out). */
  readonly resize?: readonly [number, number];
  readonly label: string;
}

/**
 * 2-D convolution of `x` [N, H, W, C] in f32. Returns [N, OH, OW, O]. Throws `RangeError` where shapes do not fit.
 */
export function conv2d(rec: Recorder, x: Tensor, options: Conv2dOptions): Tensor {
  const { weight, kernel: [kernelHeight, kernelWidth], stride = 1, activation = "none", label } = options;
  const pad = typeof options.padding === "object" ? options.padding : uniformPadding(options.padding ?? 0);
  const [batch, srcHeight, srcWidth] = dimensions(x, label);
  const [inHeight, inWidth] = options.resize ?? [srcHeight, srcWidth];
  const outChannels = weight.size(-1);
  const outHeight = Math.floor((inHeight + pad.top + pad.bottom - kernelHeight) / stride) + 1;
  const outWidth = Math.floor((inWidth + pad.left + pad.right - kernelWidth) / stride) + 1;
  if (weight.size(0) !== kernelHeight * kernelWidth || weight.size(1) !== 4 * x.channels4) {
    throw new RangeError(
      `Cannot run conv2d "${label}": input has ${
        x.size(-1)
      } channels, kernel ${kernelHeight}×${kernelWidth}, weight [${weight.shape}] does not fit`,
    );
  }
  if (outHeight < 1 || outWidth < 1) {
    throw new RangeError(
      `Cannot run conv2d "${label}": input ${inHeight}×${inWidth} is smaller than the kernel`,
    );
  }
  const y = rec.tensor([batch, outHeight, outWidth, outChannels], label);
  const { channelAdd, accumulate } = options;
  const residual = options.residual ?? accumulate;
  if (options.residual && accumulate) {
    throw new TypeError(`Cannot run conv2d "${label}": "residual" and "accumulate" exclude each other`);
  }
  if (residual && String(residual.shape) !== String(y.shape)) {
    throw new RangeError(`Cannot run conv2d "${label}": residual [${residual.shape}], output [${y.shape}]`);
  }
  if (channelAdd && (channelAdd.size(-1) !== outChannels || ![1, batch].includes(channelAdd.size(0)))) {
    throw new RangeError(
      `Cannot run conv2d "${label}": per-channel values [${channelAdd.shape}], output [${y.shape}]`,
    );
  }
  const { facts } = rec.gpu, pixels = batch * outHeight * outWidth;
  const direct = directCandidates(facts, {
    kernelWidth,
    stride,
    inChannels: x.size(-1),
    outChannels,
    pixels,
  });
  // An implicit matrix product: a row per output pixel, a column per output channel. It gives the same bytes as a direct
  // one only where one vec4 holds all input channels.
  const tiles = direct.length > 0 && x.channels4 > 1
    ? []
    : gemmCandidates(facts, { rows: pixels, columns4: y.channels4 });
  const filter = [kernelHeight, kernelWidth, x.size(-1)];
  const srcRow = srcWidth * x.channels4, outRow = outWidth * y.channels4;

  function sourceRows({ rowBegin, rows }: Band): [number, number] {
    const from = Math.max(0, rowBegin * stride - pad.top);
    const last = Math.min(inHeight - 1, (rowBegin + rows - 1) * stride + kernelHeight - 1 - pad.top);
    const scaled = (iy: number) => Math.floor(iy * srcHeight / inHeight);
    return [Math.min(scaled(from), srcHeight - 1), Math.max(scaled(last), 0) + 1];
  }

  const bands = rowBands({
    batch,
    height: outHeight,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    label,
    tensors: [
      { total: y.storage.byteLength, band: (rows) => 16 * outRow * rows },
      {
        total: x.storage.byteLength,
        band: (rows) =>
          16 * srcRow * (Math.ceil(((rows - 1) * stride + kernelHeight) * srcHeight / inHeight) + 1),
      },
    ],
  });
  for (const band of bands) {
    const [sourceBegin, sourceEnd] = sourceRows(band);
    const last = band.batchBegin + band.batch - 1;
    const out = (t: Tensor) =>
      slice(
        t,
        (band.batchBegin * outHeight + band.rowBegin) * outRow,
        (last * outHeight + band.rowBegin + band.rows) * outRow,
      );
    const source = slice(
      x,
      (band.batchBegin * srcHeight + sourceBegin) * srcRow,
      (last * srcHeight + sourceEnd) * srcRow,
    );
    const target = out(y), added = residual ? out(residual) : null;
    const rows = band.batch * band.rows * outWidth;
    const variants = [
      ...direct.map(({ kernel, constants, runPixels, tileRuns, tileColumns4 }): Variant => {
        const runs = band.batch * band.rows * Math.ceil(outWidth / runPixels);
        const [across, down] = spread(Math.ceil(runs / tileRuns));
        return {
          kernel: kernel === "direct" ? conv2dDirectKernel : conv2dDirectSubgroupKernel,
          constants,
          workgroups: [across, Math.ceil(y.channels4 / tileColumns4), down],
        };
      }),
      ...tiles.map(({ kernel, constants, tileRows, tileColumns4 }): Variant => ({
        kernel: kernel === "tiled" ? conv2dKernel : conv2dSubgroupKernel,
        constants,
        workgroups: [Math.ceil(rows / tileRows), Math.ceil(y.channels4 / tileColumns4), 1],
      })),
    ];
    rec.runOneOf(variants, {
      label,
      key: `conv2d ${weight.storageKind} ${y.shape.join("x")} of ${filter.join("x")} by ${stride}`,
      work: rows * outChannels * kernelHeight * kernelWidth * x.size(-1),
      constants: { ACTIVATION: ACTIVATIONS[activation === "relu" ? "none" : activation] },
      bindings: {
        x: source,
        weight,
        bias: options.bias ?? null,
        channel_add: channelAdd ?? null,
        residual: added,
        y: target,
      },
      params: {
        batch_begin: band.batchBegin,
        batch: band.batch,
        row_begin: band.rowBegin,
        rows: band.rows,
        src_height: srcHeight,
        src_width: srcWidth,
        in_height: inHeight,
        in_width: inWidth,
        in_channels4: x.channels4,
        out_height: outHeight,
        out_width: outWidth,
        out_channels: outChannels,
        panel4: Math.ceil(panelColumns(outChannels) / 4),
        kernel_height: kernelHeight,
        kernel_width: kernelWidth,
        stride,
        pad_top: pad.top,
        pad_left: pad.left,
        add_stride4: channelAdd && channelAdd.size(0) > 1 ? channelAdd.channels4 : 0,
        has_bias: options.bias ? 1 : 0,
        has_add: channelAdd ? 1 : 0,
        has_residual: accumulate ? 2 : residual ? 1 : 0,
        has_relu: activation === "relu" ? 1 : 0,
        scale: options.scale ?? 1,
        x_base: source.base,
        residual_base: added?.base ?? 0,
        y_base: target.base,
      },
    });
  }
  return y;
}

/**
 * Reorders a weight [O, C, KH, KW] (PyTorch) or a linear one [O, C] to [KH·KW, C rounded up to 4, O] for `conv2d()`,
 * as one matrix of O columns in panels (see `panelColumns()`).
 * `channels` takes a range of the input channels only: that part of a convolution over a concatenation.
 */
export function packConv2dWeight(
  data: Float32Array,
  shape: readonly number[],
  channels: readonly [number, number] = [0, shape[1]!],
): Float32Array {
  const [taps, padded, outChannels] = packedConv2dShape(shape, channels[1] - channels[0]);
  const packed = new Float32Array(taps * padded * outChannels);
  packConv2dPanels(data, { shape, channels, packed });
  return packed;
}

/**
 * As `packConv2dWeight()`, to `packed`. `data` may be some output channels of a larger weight, whole panels of it: what
 * comes out is the same range of what all of them would give.
 */
export function packConv2dPanels<T extends StoredValues>(
  data: T,
  { shape, channels, packed }: {
    readonly shape: readonly number[];
    readonly channels: readonly [number, number];
    readonly packed: T;
  },
): void {
  const [outChannels = 1, inChannels = 1, kernelHeight = 1, kernelWidth = 1] = shape;
  const taps = kernelHeight * kernelWidth;
  const count = channels[1] - channels[0], padded = 4 * Math.ceil(count / 4);
  if (padded > count) packed.fill(0);
  const row = inChannels * taps;
  for (let first = 0; first < outChannels; first += panelColumns(outChannels)) {
    const width = Math.min(panelColumns(outChannels), outChannels - first);
    for (let o = 0; o < width; o++) {
      for (let tap = 0; tap < taps; tap++) {
        let to = first * taps * padded + tap * padded * width + o;
        const begin = (first + o) * row + channels[0] * taps + tap, end = begin + count * taps;
        for (let from = begin; from < end; from += taps, to += width) packed[to] = data[from]!;
      }
    }
  }
}

/** Shape of what `packConv2dWeight()` returns. */
export function packedConv2dShape(shape: readonly number[], channels = shape[1]!): [number, number, number] {
  return [(shape[2] ?? 1) * (shape[3] ?? 1), 4 * Math.ceil(channels / 4), shape[0]!];
}

function uniformPadding(padding: number): Padding {
  return { top: padding, left: padding, bottom: padding, right: padding };
}

function dimensions(x: Tensor, label: string): [number, number, number] {
  if (x.shape.length !== 4) {
    throw new RangeError(`Cannot run conv2d "${label}": input [${x.shape}] must be [N, H, W, C]`);
  }
  return [x.shape[0]!, x.shape[1]!, x.shape[2]!];
}
