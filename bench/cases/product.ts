import { attention } from "../../src/kernels/attention.ts";
import { conv2d, packConv2dWeight, packedConv2dShape } from "../../src/kernels/conv2d.ts";
import { packPanels } from "../../src/kernels/panels.ts";
import { gemm } from "../../src/kernels/gemm.ts";
import { TOLERANCE } from "../../tests/_assert.ts";
import { attention as attentionReference } from "../../tests/reference/attention.ts";
import { conv2dReference } from "../../tests/reference/conv2d.ts";
import { gemmReference } from "../../tests/reference/gemm.ts";
import { firstMiddleLast, type KernelCase, rowSamples } from "./kernel_case.ts";

/** Matrix products, linear layers and attention. */
export const products: readonly KernelCase[] = [
  product(1024),
  { ...product(128), quick: true },
  linear({ rows: 1024, in: 512, out: 512, note: "UNet, projection" }),
  linear({ rows: 1024, in: 512, out: 4096, note: "UNet, into the feed-forward" }),
  linear({ rows: 1024, in: 2048, out: 512, note: "UNet, out of the feed-forward" }),
  { ...linear({ rows: 920, in: 64, out: 512, note: "bundled UNet, into the feed-forward" }), quick: true },
  attend({ heads: 8, headChannels: 64, queries: 1024, keys: 1024, note: "UNet, self" }),
  attend({ heads: 8, headChannels: 64, queries: 1024, keys: 77, note: "UNet, cross" }),
  attend({ heads: 1, headChannels: 512, queries: 1024, keys: 1024, note: "VAE at a 32×32 latent" }),
  {
    ...attend({ heads: 4, headChannels: 16, queries: 920, keys: 920, note: "bundled UNet, self" }),
    quick: true,
  },
];

function product(size: number): KernelCase {
  return {
    name: `matrix product ${size}×${size}×${size}`,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const a = inputs.signal("a", [1, size, size]);
      const b = inputs.signal("b", [1, size, size], 1 / Math.sqrt(size));
      const packed = inputs.weight(
        "b in panels",
        [1, size, size],
        packPanels(b.data, { rows: size, columns: size }),
      );
      const one = { batch: 1, rows: 1, inner: size, columns: size };
      return {
        record: (rec) => gemm(rec, a.tensor, packed, { label: "product" }),
        expected: () =>
          rowSamples(
            size,
            firstMiddleLast(size).map((row) => ({
              row,
              values: gemmReference(a.data.subarray(row * size, (row + 1) * size), b.data, one),
            })),
          ),
      };
    },
  };
}

/** A linear layer, which is a 1×1 convolution of rows of one pixel. */
function linear(
  shape: { readonly rows: number; readonly in: number; readonly out: number; readonly note: string },
): KernelCase {
  const { rows, in: inChannels, out, note } = shape;
  return {
    name: `linear ${inChannels}→${out}, ${rows} tokens`,
    note,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const x = inputs.signal("x", [1, rows, 1, inChannels]);
      const bias = inputs.signal("bias", [1, out], 0.1);
      const weights = inputs.signal("weight", [out, inChannels], 1 / Math.sqrt(inChannels)).data;
      const weight = inputs.weight(
        "packed weight",
        packedConv2dShape([out, inChannels]),
        packConv2dWeight(weights, [out, inChannels]),
      );
      const expectedRow = (row: number) =>
        conv2dReference({
          x: x.data.subarray(row * inChannels, (row + 1) * inChannels),
          shape: [1, 1, 1, inChannels],
          weight: weights,
          weightShape: [out, inChannels, 1, 1],
          bias: bias.data,
        }).y;
      return {
        record: (rec) =>
          conv2d(rec, x.tensor, { weight, bias: bias.tensor, kernel: [1, 1], label: "linear" }),
        expected: () =>
          rowSamples(out, firstMiddleLast(rows).map((row) => ({ row, values: expectedRow(row) }))),
      };
    },
  };
}

function attend(
  shape: {
    readonly heads: number;
    readonly headChannels: number;
    readonly queries: number;
    readonly keys: number;
    readonly note: string;
  },
): KernelCase {
  const { heads, headChannels, queries, keys, note } = shape;
  const channels = heads * headChannels;
  return {
    name: `attention ${heads}×${headChannels} ch, ${queries} queries, ${keys} keys`,
    note,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const q = inputs.signal("q", [1, queries, channels], 2);
      const k = inputs.signal("k", [1, keys, channels]);
      const v = inputs.signal("v", [1, keys, channels]);
      const one = { batch: 1, queries: 1, keys, heads, headChannels, kvBatch: 1 };
      const expectedRow = (row: number) =>
        attentionReference([q.data.subarray(row * channels, (row + 1) * channels), k.data, v.data], one);
      return {
        record: (rec) => attention(rec, q.tensor, k.tensor, v.tensor, { heads, label: "attention" }),
        expected: () =>
          rowSamples(channels, firstMiddleLast(queries).map((row) => ({ row, values: expectedRow(row) }))),
      };
    },
  };
}
