import filterSource from "../../wgsl/winograd_filter.wgsl" with { type: "text" };
import inputSource from "../../wgsl/winograd_input.wgsl" with { type: "text" };
import nearestLibrary from "../../wgsl/lib/nearest.wgsl" with { type: "text" };
import outputSource from "../../wgsl/winograd_output.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { type Recorder, slice } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { type Activation, activationLibrary, ACTIVATIONS } from "./activation.ts";
import { type Band, rowBands, spread } from "./bands.ts";
import { gemm } from "./gemm.ts";
import type { KnownNorm } from "./group_norm.ts";

const WORKGROUP = 64;
/** Outputs of a tile in each direction, and frequencies of a tile. */
const TILE = 4, FREQUENCIES = 36;
/** Bands are cut so that transformed input and products stay below this, together with what may be bound. */
const SCRATCH_BYTES = 2 ** 27;

/** Filters to the 36 frequencies. */
export const winogradFilterKernel: Kernel = defineKernel({
  name: "winograd_filter",
  source: filterSource,
  bindings: { weight: "read", u: "write" },
  params: { count: "u32", begin: "u32", total: "u32", first: "u32", end: "u32", u_base: "u32" },
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
    has_norm: "u32",
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

/** Options of `winogradConv2d()`; those without a comment are as in `Conv2dOptions`. */
export interface WinogradOptions {
  /** [36, C, O], from `winogradFilter()`; C counts all inputs. */
  readonly filter: Tensor;
  readonly bias?: Tensor | undefined;
  /** Applied to the input, before it is padded. */
  readonly norm?: KnownNorm | undefined;
  readonly activation?: Activation;
  readonly channelAdd?: Tensor | undefined;
  readonly scale?: number;
  readonly residual?: Tensor | undefined;
  readonly accumulate?: Tensor | undefined;
  readonly resize?: readonly [number, number];
  readonly label: string;
}

/**
 * Transforms 3×3 filters for `winogradConv2d()`: one tensor [9, C, O] (as `packConv2dWeight()` makes them, C a
 * multiple of 4) per input of the convolution. Writes to a persistent tensor `filter` [36, sum of C, O].
 */
export function winogradFilter(
  rec: Recorder,
  weights: readonly Tensor[],
  { filter, label }: { readonly filter: Tensor; readonly label: string },
): void {
  let begin = 0;
  const total = filter.size(1) * filter.channels4;
  for (const weight of weights) {
    const count = weight.size(1) * weight.channels4;
    for (const { from: first, to: end } of matrixRanges(total, rec.gpu.facts.maxBindingBytes)) {
      const u = slice(filter, first * total, end * total);
      rec.run(winogradFilterKernel, {
        label,
        bindings: { weight, u },
        params: { count, begin, total, first, end, u_base: u.base },
        workgroups: spread(Math.ceil(count / WORKGROUP)),
      });
    }
    begin += count;
  }
}

/** Ranges of frequencies whose matrices of `size` vec4s can be bound together. */
function matrixRanges(size: number, maxBindingBytes: number): { from: number; to: number }[] {
  const step = Math.max(1, Math.floor((maxBindingBytes / 16 - 16) / size));
  const ranges: { from: number; to: number }[] = [];
  for (let from = 0; from < FREQUENCIES; from += step) {
    ranges.push({ from, to: Math.min(from + step, FREQUENCIES) });
  }
  return ranges;
}

/** A tensor without memory of the shape that `winogradFilter()` fills. */
export function winogradFilterTensor(inChannels: number, outChannels: number, label: string): Tensor {
  return new Tensor([FREQUENCIES, inChannels, outChannels], `${label}.filter`);
}

/**
 * 3×3 convolution with stride 1 and padding 1 by Winograd's F(4×4, 3×3): 36 instead of 144 multiplications per tile,
 * input channel and output channel. `x` [N, H, W, C], or two that stand for their channel concatenation (channels in
 * multiples of 4). Returns [N, H, W, O]. The rounding error is about 3 times that of the direct sum.
 */
export function winogradConv2d(
  rec: Recorder,
  x: Tensor | readonly [Tensor, Tensor],
  options: WinogradOptions,
): Tensor {
  const { filter, norm, activation = "none", channelAdd, accumulate, label } = options;
  const [first, second] = "shape" in x ? [x, null] : x;
  const residual = options.residual ?? accumulate;
  const channels = first.size(-1) + (second?.size(-1) ?? 0), channels4 = Math.ceil(channels / 4);
  const [batch = 1, srcHeight = 1, srcWidth = 1] = first.shape;
  const [height, width] = options.resize ?? [srcHeight, srcWidth];
  const outChannels = filter.size(-1);
  if (filter.size(1) !== 4 * channels4 || (second && first.size(-1) % 4)) {
    throw new RangeError(
      `Cannot run winograd "${label}": ${channels} input channels, filter [${filter.shape}] does not fit`,
    );
  }
  const y = rec.tensor([batch, height, width, outChannels], label);
  if (residual && String(residual.shape) !== String(y.shape)) {
    throw new RangeError(`Cannot run winograd "${label}": residual [${residual.shape}], output [${y.shape}]`);
  }
  const tileRows = Math.ceil(height / TILE), columns = Math.ceil(width / TILE);
  const { maxBindingBytes } = rec.gpu.facts;
  const scratchRow = 16 * FREQUENCIES * columns * Math.max(channels4, y.channels4);
  const scratch = Math.min(maxBindingBytes, SCRATCH_BYTES);
  const rowsIn = (rows: number) => Math.ceil((TILE * rows + 2) * srcHeight / height) + 1;
  const bands = rowBands({
    batch,
    height: tileRows,
    maxBindingBytes,
    label,
    tensors: [
      {
        total: batch * tileRows * scratchRow * maxBindingBytes / scratch,
        band: (rows) => rows * scratchRow * maxBindingBytes / scratch,
      },
      { total: y.storage.byteLength, band: (rows) => 16 * TILE * rows * width * y.channels4 },
      ...[first, ...second ? [second] : []].map((t) => ({
        total: t.storage.byteLength,
        band: (rows: number) => 16 * rowsIn(rows) * srcWidth * t.channels4,
      })),
    ],
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
    return slice(t, from * width * y.channels4, to * width * y.channels4);
  }

  for (const band of bands) {
    const tiles = band.batch * band.rows * columns;
    const v = rec.tensor([FREQUENCIES, tiles, 4 * channels4], `${label}.v`);
    const source = sourceSlice(first, band), source2 = second && sourceSlice(second, band);
    const common = {
      batch_begin: band.batchBegin,
      row_begin: band.rowBegin,
      rows: band.rows,
      columns,
      tiles,
    };
    rec.run(winogradInputKernel, {
      label,
      constants: { ACTIVATION: ACTIVATIONS[norm?.activation ?? "none"], SECOND: second ? 1 : 0 },
      bindings: { x: source, x2: source2, stats: norm?.stats ?? null, bias: norm?.bias ?? null, v },
      params: {
        ...common,
        height,
        width,
        src_height: srcHeight,
        src_width: srcWidth,
        channels4,
        first_channels4: first.channels4,
        has_norm: norm ? 1 : 0,
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
      bindings: {
        m,
        bias: options.bias ?? null,
        channel_add: channelAdd ?? null,
        residual: added,
        y: target,
      },
      params: {
        ...common,
        height,
        width,
        channels: outChannels,
        add_stride4: channelAdd && channelAdd.size(0) > 1 ? channelAdd.channels4 : 0,
        has_bias: options.bias ? 1 : 0,
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
