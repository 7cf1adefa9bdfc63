import assert from "node:assert/strict";
import { flowWarp, ogwm } from "../../src/kernels/flow_warp.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { flowTensor } from "../_flow_pairs.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { signal } from "../generated.ts";
import { everyNth, flowWarp as flowWarpLoops, ogwm as ogwmLoops } from "../reference/flow_warp.ts";

const CASES = [
  { name: "control", shape: [1, 8, 8, 4], flowPx: 1 },
  { name: "odd sizes, two images, five channels", shape: [2, 5, 9, 5], flowPx: 2 },
  { name: "far outside", shape: [1, 6, 7, 3], flowPx: 1e12 },
  { name: "one pixel", shape: [1, 1, 1, 3], flowPx: 1 },
  { name: "one row", shape: [2, 1, 6, 4], flowPx: 1 },
  { name: "one column", shape: [1, 6, 1, 4], flowPx: 1 },
] as const;

for (const mode of ["bilinear", "nearest"] as const) {
  for (const { name, shape, flowPx } of CASES) {
    gpuTest(`flowWarp() equals the loops, ${mode}: ${name}`, async (gpu) => {
      const [batch, height, width, channels] = shape;
      const [x, xData] = signalTensor(gpu, `${name}.x`, shape);
      const flowShape = [batch, height, width, 2];
      const flowData = signal(`${name}.flow`, flowShape).map((v) => v * flowPx);
      const flow = flowTensor(gpu, "flow", { shape: flowShape, data: flowData });
      const [y] = await evaluate(gpu, (rec) => flowWarp(rec, x, flow, { mode, label: "warp" }));
      const expected = flowWarpLoops(xData, flowData, {
        batch,
        height,
        width,
        channels,
        nearest: mode === "nearest",
      });
      assertAllClose(y!, expected, TOLERANCE.f32);
    });
  }

  for (const factor of [1, 2, 4, 8] as const) {
    gpuTest(`ogwm() equals enlarging, warping and shrinking, ${mode} ×${factor}`, async (gpu) => {
      const batch = 2, height = 5, width = 7, channels = 4;
      const [x0, x0Data] = signalTensor(gpu, `x0.${factor}`, [batch, height, width, channels]);
      const large = [batch, factor * height, factor * width, 2];
      const flowData = signal(`flow.${factor}`, large).map((v) => 2 * factor * v);
      const sparse = everyNth(flowData, { batch, height, width, channels: 2, factor });
      const flow = flowTensor(gpu, "flow", { shape: [batch, height, width, 2], data: sparse });
      const [y] = await evaluate(gpu, (rec) => ogwm(rec, x0, flow, { factor, mode, label: "ogwm" }));
      const nearest = mode === "nearest";
      const expected = ogwmLoops(x0Data, flowData, { batch, height, width, channels, factor, nearest });
      // Positions up to 56 round by 4e-6, and so do the weights.
      assertAllClose(y!, expected, { rtol: 1e-5, atol: 3e-5 });
    });
  }
}

gpuTest("flowWarp() shifts by the half pixel even without motion", async (gpu) => {
  const x = gpu.tensor([1, 1, 3, 1], "x", Float32Array.of(10, 20, 40));
  const flow = gpu.tensor([1, 1, 2, 4], "flow");
  // Row 0 is sampled at -0.5 (half outside), columns 0, 1, 2 at -0.5, 1, 2.5.
  const [y] = await evaluate(gpu, (rec) => flowWarp(rec, x, flow, { label: "warp" }));
  assert.deepEqual([...y!], [2.5, 10, 10]);
});

gpuTest("flowWarp() accepts more than 65,535 workgroups", async (gpu) => {
  const width = 65_535 * 64 + 2;
  const x = gpu.tensor([1, 1, width, 1], "x", new Float32Array(width).fill(3));
  const flow = gpu.tensor([1, 1, width / 2, 4], "flow");
  const [y] = await evaluate(gpu, (rec) => flowWarp(rec, x, flow, { mode: "nearest", label: "warp" }));
  gpu.free(x);
  gpu.free(flow);
  // The last column is sampled at width - 0.5, on the edge.
  assert.equal(y!.findIndex((v) => v !== 3), width - 1);
});

gpuTest("flowWarp() gives the same bytes image by image", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 2304,
    record(rec) {
      const [x] = signalTensor(rec.gpu, "x", [3, 7, 9, 5]);
      const [flow] = signalTensor(rec.gpu, "flow", [3, 7, 5, 4], 3);
      return [flowWarp(rec, x, flow, { label: "warp" })];
    },
  });
});

gpuTest("flowWarp() names shapes that do not fit", async (gpu) => {
  const x = gpu.tensor([1, 4, 4, 3], "x"), flow = gpu.tensor([1, 4, 3, 4], "flow");
  await assert.rejects(
    evaluate(gpu, (rec) => flowWarp(rec, x, flow, { label: "warp" })),
    new RangeError('Cannot run flow_warp "warp": "flow" is [1,4,3,4], wanted [1,4,2,4]'),
  );
});
