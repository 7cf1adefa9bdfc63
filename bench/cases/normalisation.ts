import { geglu } from "../../src/kernels/geglu.ts";
import { groupNorm } from "../../src/kernels/group_norm.ts";
import { layerNorm } from "../../src/kernels/layer_norm.ts";
import { TOLERANCE } from "../../tests/_assert.ts";
import { activations } from "../../tests/reference/activation.ts";
import {
  groupNorm as groupNormReference,
  layerNorm as layerNormReference,
} from "../../tests/reference/normalisation.ts";
import { allSamples, firstMiddleLast, type KernelCase, rowSamples } from "./kernel_case.ts";

/** Norms and the gate of the feed-forward. */
export const normalisations: readonly KernelCase[] = [
  group({ height: 64, width: 64, channels: 256, groups: 32, note: "UNet, finest level" }),
  group({ height: 256, width: 256, channels: 128, groups: 32, note: "VAE, finest level" }),
  group({ height: 90, width: 160, channels: 32, groups: 4, note: "bundled UNet, finest level", quick: true }),
  layer({ rows: 1024, channels: 512, note: "UNet" }),
  { ...layer({ rows: 920, channels: 64, note: "bundled UNet" }), quick: true },
  gate({ rows: 1024, channels: 2048, note: "UNet" }),
  { ...gate({ rows: 920, channels: 256, note: "bundled UNet" }), quick: true },
];

function group(
  shape: {
    readonly height: number;
    readonly width: number;
    readonly channels: number;
    readonly groups: number;
    readonly note: string;
    readonly quick?: boolean;
  },
): KernelCase {
  const { height, width, channels, groups, note, quick = false } = shape;
  const pixels = height * width, eps = 1e-5;
  return {
    name: `group norm and SiLU, ${channels} ch in ${groups} groups, ${width}×${height}`,
    note,
    quick,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const x = inputs.signal("x", [1, height, width, channels]);
      const weight = inputs.signal("weight", [1, channels]), bias = inputs.signal("bias", [1, channels]);

      /** The last group by itself. */
      function expected() {
        const size = channels / groups, first = channels - size;
        const part = new Float32Array(pixels * size);
        for (let p = 0; p < pixels; p++) {
          part.set(x.data.subarray(p * channels + first, (p + 1) * channels), p * size);
        }
        const y = groupNormReference(part, {
          batch: 1,
          pixels,
          channels: size,
          groups: 1,
          eps,
          weight: weight.data.subarray(first),
          bias: bias.data.subarray(first),
        });
        return {
          indices: Array.from(y, (_, i) => Math.floor(i / size) * channels + first + i % size),
          values: Array.from(y, activations.silu),
        };
      }

      return {
        expected,
        record: (rec) =>
          groupNorm(rec, x.tensor, {
            groups,
            eps,
            weight: weight.tensor,
            bias: bias.tensor,
            activation: "silu",
            label: "group norm",
          }),
      };
    },
  };
}

function layer(
  { rows, channels, note }: { readonly rows: number; readonly channels: number; readonly note: string },
): KernelCase {
  return {
    name: `layer norm, ${channels} ch, ${rows} tokens`,
    note,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const x = inputs.signal("x", [1, rows, channels]);
      const weight = inputs.signal("weight", [1, channels]), bias = inputs.signal("bias", [1, channels]);
      const eps = 1e-5;
      const shape = { batch: 1, pixels: rows, channels, eps, weight: weight.data, bias: bias.data };
      return {
        record: (rec) =>
          layerNorm(rec, x.tensor, { eps, weight: weight.tensor, bias: bias.tensor, label: "layer norm" }),
        expected: () => allSamples(layerNormReference(x.data, shape)),
      };
    },
  };
}

function gate(
  { rows, channels, note }: { readonly rows: number; readonly channels: number; readonly note: string },
): KernelCase {
  return {
    name: `GEGLU, ${channels} ch, ${rows} tokens`,
    note,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const x = inputs.signal("x", [1, rows, 2 * channels], 2);
      const expectedRow = (row: number) => {
        const [value, gate] = [0, channels].map((at) => x.data.subarray(2 * row * channels + at));
        return Array.from({ length: channels }, (_, c) => value![c]! * activations.gelu(gate![c]!));
      };
      return {
        record: (rec) => geglu(rec, x.tensor, { label: "geglu" }),
        expected: () =>
          rowSamples(channels, firstMiddleLast(rows).map((row) => ({ row, values: expectedRow(row) }))),
      };
    },
  };
}
