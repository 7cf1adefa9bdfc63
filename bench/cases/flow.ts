import { correlation } from "../../src/kernels/correlation.ts";
import { flowPairs } from "../../src/kernels/flow_pairs.ts";
import { ogwm } from "../../src/kernels/flow_warp.ts";
import { upsampleFlow } from "../../src/kernels/upsample_flow.ts";
import { TOLERANCE } from "../../tests/_assert.ts";
import { correlationReference, type Map4, upsampleFlowReference } from "../../tests/reference/flow.ts";
import { ogwm as ogwmReference } from "../../tests/reference/flow_warp.ts";
import { allSamples, firstMiddleLast, type KernelCase, rowSamples } from "./kernel_case.ts";

/**
 * Positions up to 640 pixels are rounded twice, by 3e-5 each, and neighbouring values are up to 2√3 apart: 2e-4 in
 * each direction.
 */
const WARP_TOLERANCE = { rtol: 0, atol: 4e-4 };

/** Sizes of flow and guide. */
interface Size {
  readonly height: number;
  readonly width: number;
}

/** Kernels of optical flow and guidance. */
export const flows: readonly KernelCase[] = [
  lookUp({ height: 32, width: 32, channels: 256, radius: 4, note: "RAFT-large" }),
  {
    ...lookUp({ height: 48, width: 80, channels: 64, radius: 3, note: "bundled RAFT" }),
    quick: true,
  },
  convexUpsampling({ height: 32, width: 32 }),
  warpedGuide({ height: 64, width: 64 }),
  { ...warpedGuide({ height: 90, width: 160 }), quick: true },
];

function lookUp(
  shape: Size & { readonly channels: number; readonly radius: number; readonly note: string },
): KernelCase {
  const { height, width, channels, radius, note } = shape;
  const levels = 4;
  const size = levels * (2 * radius + 1) ** 2;
  return {
    name: `correlation look-up, ${channels} ch, radius ${radius}, ${width}×${height}`,
    note,
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const f1 = inputs.signal("f1", [1, height, width, channels]);
      const pyramid = Array.from({ length: levels }, (_, level) => {
        const shape = [1, height >> level, width >> level, channels] as const;
        return { shape, ...inputs.signal(`f2.${level}`, shape) };
      });
      const flow = inputs.signal("flow", [1, height, width, 2], 3);

      /** A row of pixels is computed by itself if its flow starts from row 0. */
      function expectedRow(row: number): Float64Array {
        const f1Row: Map4 = {
          shape: [1, 1, width, channels],
          data: f1.data.subarray(row * width * channels, (row + 1) * width * channels),
        };
        const flowRow = Array.from(
          flow.data.subarray(row * width * 2, (row + 1) * width * 2),
          (value, i) => i % 2 === 1 ? value + row : value,
        );
        return correlationReference(f1Row, {
          pyramid,
          flow: { shape: [1, 1, width, 2], data: flowRow },
          radius,
        });
      }

      return {
        record: (rec) =>
          correlation(rec, f1.tensor, {
            pyramid: pyramid.map(({ tensor }) => tensor),
            flow: flow.tensor,
            radius,
            label: "correlation",
          }),
        expected: () =>
          rowSamples(
            width * size,
            firstMiddleLast(height).map((row) => ({ row, values: expectedRow(row) })),
          ),
      };
    },
  };
}

/** As the flow stage uses it: every fourth pixel of the full-size flow. */
function convexUpsampling({ height, width }: Size): KernelCase {
  const step = 4, target = { step, height: 8 * height, width: 8 * width } as const;
  return {
    name: `convex upsampling of flow, ${width}×${height} to ${2 * width}×${2 * height}`,
    note: "RAFT-large",
    tolerance: TOLERANCE.f32,
    build(inputs) {
      const flow = inputs.signal("flow", [1, height, width, 2], 3);
      const mask = inputs.signal("mask", [1, height, width, 576]);
      const maps: Record<"flow" | "mask", Map4> = {
        flow: { shape: [1, height, width, 2], data: flow.data },
        mask: { shape: [1, height, width, 576], data: mask.data },
      };
      const outputs = (target.height / step) * (target.width / step);
      return {
        // Of the mask, 9 values per output pixel are read; a vec4 holds those of four neighbours, three unused.
        bytes: 16 * (9 + 1) * outputs + flow.tensor.storage.byteLength,
        record: (rec) => upsampleFlow(rec, flow.tensor, { ...target, mask: mask.tensor, label: "upsample" }),
        expected: () => allSamples(upsampleFlowReference(maps.flow, { ...target, mask: maps.mask })),
      };
    },
  };
}

function warpedGuide({ height, width }: Size): KernelCase {
  const channels = 4, factor = 4;
  return {
    name: `OGWM, ${channels} ch, ${width}×${height}`,
    note: "warp of the guide",
    tolerance: WARP_TOLERANCE,
    build(inputs) {
      const x = inputs.signal("x", [1, height, width, channels]);
      const flow = inputs.signal("flow", flowPairs(1, height, width), 6);

      function expected() {
        // The full-size flow repeats that of the pixels that count.
        const full = new Float32Array(2 * height * width * factor ** 2);
        for (let at = 0; at < full.length; at++) {
          const column = Math.floor(at / 2) % (factor * width);
          const row = Math.floor(at / 2 / (factor * width));
          const pixel = Math.floor(row / factor) * width + Math.floor(column / factor);
          full[at] = flow.data[2 * pixel + at % 2]!;
        }
        return allSamples(ogwmReference(x.data, full, { batch: 1, height, width, channels, factor }));
      }

      return {
        expected,
        record: (rec) => ogwm(rec, x.tensor, flow.tensor, { factor, label: "ogwm" }),
      };
    },
  };
}
