import filterSource from "../../wgsl/winograd_filter.wgsl" with { type: "text" };
import inputSource from "../../wgsl/winograd_input.wgsl" with { type: "text" };
import nearestLibrary from "../../wgsl/lib/nearest.wgsl" with { type: "text" };
import panelsLibrary from "../../wgsl/lib/panels.wgsl" with { type: "text" };
import outputSource from "../../wgsl/winograd_output.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { activationLibrary, ACTIVATIONS } from "./activation.ts";
import { type Band, rowBands, spread } from "./bands.ts";
import type { Conv2dOptions } from "./conv2d.ts";
import { gemm } from "./gemm.ts";
import type { KnownNorm } from "./group_norm.ts";
import { panelColumns } from "./panels.ts";
import { operandStorage, weightStorage } from "./storage.ts";
import { assertShape, imageShape } from "./shape.ts";

const WORKGROUP = 64;
/** Outputs of a tile in each direction, and frequencies of a tile. */
const TILE = 4, FREQUENCIES = 36;
/** Bands are cut so that transformed input and products stay below this each, or are one row of tiles. */
export const SCRATCH_BYTES: number = 2 ** 26;

/** Filters to the 36 frequencies. */
export const winogradFilterKernel: Kernel = defineKernel({
  name: "winograd_filter",
  storage: { weight: weightStorage, operand: operandStorage },
  library: [panelsLibrary],
  source: filterSource,
  bindings: { weight: "read", operand: "write" },
  params: {
    channels: "u32",
    first_channel: "u32",
    total_channels: "u32",
    columns4: "u32",
    panel4: "u32",
    first: "u32",
    end: "u32",
    operand_base: "u32",
  },
});

/** Patches of the input, normalised on the way, to the 36 frequencies. */
export const winogradInputKernel: Kernel = defineKernel({
  name: "winograd_input",
  source: inputSource,
  library: [activationLibrary, nearestLibrary],
  bindings: { x: "read", x2: "read", stats: "read", bias: "read", v: "write" },
  params: {
    batch_begin: "u32",
    row_begin: "u32",
    rows: "u32",
    columns: "u32",
    tiles: "u32",
    height: "u32",
    width: "u32",
    src_height: "u32",
    src_width: "u32",
    channels4: "u32",
    first_channels4: "u32",
    stats_stride4: "u32",
    has_norm: "u32",
    has_bias: "u32",
    x_base: "u32",
    x2_base: "u32",
  },
  variants: [0, 1].flatMap((SECOND) =>
    Object.values(ACTIVATIONS).map((ACTIVATION) => ({ ACTIVATION, SECOND }))
  ),
});

/** The 36 frequencies back to tiles of the output, with everything that follows a convolution. */
export const winogradOutputKernel: Kernel = defineKernel({
  name: "winograd_output",
  source: outputSource,
  library: [activationLibrary],
  bindings: { m: "read", bias: "read", channel_add: "read", residual: "read", y: "write" },
  params: {
    batch_begin: "u32",
    row_begin: "u32",
    rows: "u32",
    columns: "u32",
    tiles: "u32",
    height: "u32",
    width: "u32",
    channels: "u32",
    add_stride4: "u32",
    has_bias: "u32",
    has_add: "u32",
    has_residual: "u32",
    scale: "f32",
    residual_base: "u32",
    y_base: "u32",
  },
  variants: Object.values(ACTIVATIONS).map((ACTIVATION) => ({ ACTIVATION })),
});

/** Options of `winogradConv2d()`; those without a comment are as for `conv2d()`. */
export interface WinogradOptions extends
  Pick<
    Conv2dOptions,
    "bias" | "activation" | "channelAdd" | "scale" | "residual" | "accumulate" | "resize" | "label"
  > {
  /** [36, C rounded up to a multiple of 4, O], from `winogradFilter()`; C counts all inputs. */
  readonly filter: Tensor;
  /** Applied to the input, before it is padded. */
  readonly norm?: KnownNorm | undefined;
  /** Bytes that transformed input and products of a band may take each; default `SCRATCH_BYTES`. */
  readonly scratchBytes?: number | undefined;
}

/**
 * Shape of what `winogradFilter()` fills; `inChannels` is a multiple of 4. It is f32 even for packed weights: rounded
 * to f16, transformed filters would carry three times the error of the weights.
 */
export function winogradFilterShape(inChannels: number, outChannels: number): [number, number, number] {
  return [FREQUENCIES, inChannels, outChannels];
}

/**
 * Transforms 3×3 filters for `winogradConv2d()`: one tensor [9, C, O] (as `packConv2dWeight()` makes them, C a
 * multiple of 4) per input of the convolution. Writes to a persistent tensor `filter` [36, sum of C, O]. Throws
 * `RangeError` where shapes do not fit or one frequency's matrix exceeds what can be bound.
 */
export function winogradFilter(
  rec: Recorder,
  weights: readonly Tensor[],
  { filter, label }: { readonly filter: Tensor; readonly label: string },
): void {
  const outChannels = filter.size(-1);
  for (const weight of weights) {
    assertShape(weight, [9, weight.size(1), outChannels], { kernel: "winograd_filter", label });
  }
  const inChannels = weights.reduce((sum, weight) => sum + weight.size(1), 0);
  assertShape(filter, [FREQUENCIES, inChannels, outChannels], { kernel: "winograd_filter", label });
  const total = inChannels * filter.channels4;
  const ranges = filter.inTexture ? [{ rowBegin: 0, rows: FREQUENCIES }] : rowBands({
    batch: 1,
    height: FREQUENCIES,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [{
      total: filter.storage.byteLength,
      band: (matrices) => filter.storage.byteLength / FREQUENCIES * matrices,
    }],
    label,
  });
  let firstChannel = 0;
  for (const weight of weights) {
    const channels = weight.size(1);
    for (const { rowBegin: first, rows } of ranges) {
      const end = first + rows;
      const part = filter.inTexture ? null : slice(filter, first * total, end * total);
      rec.run(winogradFilterKernel, {
        label,
        bindings: { weight, operand: part ?? filter },
        params: {
          channels,
          first_channel: firstChannel,
          total_channels: inChannels,
          columns4: filter.channels4,
          panel4: Math.ceil(panelColumns(outChannels) / 4),
          first,
          end,
          operand_base: part?.base ?? 0,
        },
        workgroups: spread(Math.ceil(channels * filter.channels4 / WORKGROUP)),
      });
    }
    firstChannel += channels;
  }
}

/**
 * 3×3 convolution with stride 1 and padding 1 by Winograd's F(4×4, 3×3): 36 instead of 144 multiplications per tile,
 * input channel and output channel. `x` [N, H, W, C], or two that stand for their channel concatenation (the first with
 * channels in multiples of 4). Returns [N, H, W, O]. The rounding error is up to 3 times that of `conv2d()`. Throws
 * `RangeError` where shapes do not fit.
 */
export function winogradConv2d(
  rec: Recorder,
  x: Tensor | readonly [Tensor, Tensor],
  options: WinogradOptions,
): Tensor {
  const { filter, norm, activation = "none", bias, channelAdd, accumulate, label } = options;
  const { scratchBytes = SCRATCH_BYTES } = options;
  const [first, second] = "shape" in x ? [x, null] : x;
  const residual = options.residual ?? accumulate;
  const [batch, srcHeight, srcWidth] = imageShape(first, { kernel: "winograd", label });
  const [height, width] = options.resize ?? [srcHeight, srcWidth];
  const y = rec.tensor([batch, height, width, filter.size(-1)], label);
  checkShapes([first, second], y, options);

  const channels4 = first.channels4 + (second?.channels4 ?? 0);
  const tileRows = Math.ceil(height / TILE), columns = Math.ceil(width / TILE);
  // The transformed input and the products are whole in a band, and larger than the part of y that they belong to.
  const scratchRow = 16 * FREQUENCIES * columns * Math.max(channels4, y.channels4);
  const bands = rowBands({
    batch,
    height: tileRows,
    maxBindingBytes: Math.min(rec.gpu.facts.maxBindingBytes, Math.max(scratchBytes, 2 * scratchRow)),
    tensors: [
      { total: batch * tileRows * scratchRow, band: (rows) => rows * scratchRow },
      ...[first, ...second ? [second] : []].map((t) => ({
        total: t.storage.byteLength,
        band: (rows: number) =>
          16 * (Math.ceil((TILE * rows + 2) * srcHeight / height) + 1) * srcWidth * t.channels4,
      })),
    ],
    label,
  });

  function sourceSlice(t: Tensor, { batchBegin, batch, rowBegin, rows }: Band) {
    const scaled = (row: number) => Math.floor(Math.min(Math.max(row, 0), height - 1) * srcHeight / height);
    const from = batchBegin * srcHeight + scaled(TILE * rowBegin - 1);
    const to = (batchBegin + batch - 1) * srcHeight + scaled(TILE * (rowBegin + rows)) + 1;
    return slice(t, from * srcWidth * t.channels4, to * srcWidth * t.channels4);
  }

  function outSlice(t: Tensor, { batchBegin, batch, rowBegin, rows }: Band) {
    const from = batchBegin * height + TILE * rowBegin;
    const to = (batchBegin + batch - 1) * height + Math.min(TILE * (rowBegin + rows), height);
    return slice(t, from * width * t.channels4, to * width * t.channels4);
  }

  for (const band of bands) {
    const tiles = band.batch * band.rows * columns;
    const common = {
      batch_begin: band.batchBegin,
      row_begin: band.rowBegin,
      rows: band.rows,
      columns,
      tiles,
      height,
      width,
    };
    const v = rec.tensor([FREQUENCIES, tiles, 4 * channels4], `${label}.v`);
    const source = sourceSlice(first, band), source2 = second && sourceSlice(second, band);
    rec.run(winogradInputKernel, {
      label,
      constants: { ACTIVATION: ACTIVATIONS[norm?.activation ?? "none"], SECOND: second ? 1 : 0 },
      bindings: { x: source, x2: source2, stats: norm?.stats ?? null, bias: norm?.bias ?? null, v },
      params: {
        ...common,
        src_height: srcHeight,
        src_width: srcWidth,
        channels4,
        first_channels4: first.channels4,
        stats_stride4: norm && norm.stats.size(0) > 1 ? 2 * channels4 : 0,
        has_norm: norm ? 1 : 0,
        has_bias: norm?.bias ? 1 : 0,
        x_base: source.base,
        x2_base: source2?.base ?? 0,
      },
      workgroups: spread(Math.ceil(tiles * channels4 / WORKGROUP)),
    });
    const m = gemm(rec, v, filter, { label });
    const target = outSlice(y, band), added = residual ? outSlice(residual, band) : null;
    rec.run(winogradOutputKernel, {
      label,
      constants: { ACTIVATION: ACTIVATIONS[activation] },
      bindings: { m, bias: bias ?? null, channel_add: channelAdd ?? null, residual: added, y: target },
      params: {
        ...common,
        channels: y.size(-1),
        add_stride4: channelAdd && channelAdd.size(0) > 1 ? channelAdd.channels4 : 0,
        has_bias: bias ? 1 : 0,
        has_add: channelAdd ? 1 : 0,
        has_residual: accumulate ? 2 : residual ? 1 : 0,
        scale: options.scale ?? 1,
        residual_base: added?.base ?? 0,
        y_base: target.base,
      },
      workgroups: spread(Math.ceil(tiles * y.channels4 / WORKGROUP)),
    });
  }
  return y;
}

/** Throws unless inputs, filter and everything that is fused fit each other and the output `y`. */
function checkShapes(
  [first, second]: readonly [Tensor, Tensor | null],
  y: Tensor,
  { filter, norm, bias, channelAdd, residual, accumulate, label }: WinogradOptions,
): void {
  const [batch, , , outChannels] = y.shape as [number, number, number, number];
  const where = { kernel: "winograd", label };
  const channels = first.size(-1) + (second?.size(-1) ?? 0);
  if (second && first.size(-1) % 4) {
    throw new RangeError(
      `Cannot run winograd "${label}": "${first.label}" has ${
        first.size(-1)
      } channels, a multiple of 4 wanted before a second input`,
    );
  }
  if (residual && accumulate) {
    throw new TypeError(`Cannot run winograd "${label}": "residual" and "accumulate" exclude each other`);
  }
  if (second) assertShape(second, [...first.shape.slice(0, 3), second.size(-1)], where);
  assertShape(filter, [FREQUENCIES, 4 * Math.ceil(channels / 4), outChannels], where);
  // Values per channel are the same for all images or given for each.
  if (norm) assertShape(norm.stats, [norm.stats.size(0) === 1 ? 1 : batch, 2, channels], where);
  if (norm?.bias) assertShape(norm.bias, [1, channels], where);
  if (bias) assertShape(bias, [1, outChannels], where);
  if (channelAdd) assertShape(channelAdd, [channelAdd.size(0) === 1 ? 1 : batch, outChannels], where);
  const added = residual ?? accumulate;
  if (added) assertShape(added, y.shape, where);
}
