import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import type { Activation } from "../../src/kernels/activation.ts";
import {
  conv2d,
  type Conv2dOptions,
  packConv2dWeight,
  packedConv2dShape,
  type Padding,
} from "../../src/kernels/conv2d.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { weight as generatedWeight } from "../generated.ts";
import { activations } from "../reference/activation.ts";
import { conv2dReference } from "../reference/conv2d.ts";

interface Case {
  readonly name: string;
  readonly shape: [number, number, number, number];
  readonly out: number;
  readonly kernel: [number, number];
  readonly stride?: number;
  readonly padding?: number | Padding;
  readonly resize?: [number, number];
}

const CASES: readonly Case[] = [
  { name: "3×3", shape: [1, 9, 12, 8], out: 16, kernel: [3, 3], padding: 1 },
  { name: "odd channels", shape: [2, 7, 5, 7], out: 5, kernel: [3, 3], padding: 1 },
  { name: "one pixel, one channel", shape: [1, 1, 1, 1], out: 1, kernel: [3, 3], padding: 1 },
  { name: "one output channel", shape: [1, 6, 4, 12], out: 1, kernel: [3, 3], padding: 1 },
  { name: "1×1", shape: [2, 5, 6, 20], out: 36, kernel: [1, 1] },
  { name: "stride 2, odd height", shape: [1, 13, 18, 12], out: 8, kernel: [3, 3], stride: 2, padding: 1 },
  {
    name: "bottom and right padding only",
    shape: [1, 13, 18, 4],
    out: 8,
    kernel: [3, 3],
    stride: 2,
    padding: { top: 0, left: 0, bottom: 1, right: 1 },
  },
  { name: "7×7 stride 2", shape: [1, 16, 20, 3], out: 10, kernel: [7, 7], stride: 2, padding: 3 },
  {
    name: "1×5",
    shape: [1, 6, 9, 8],
    out: 8,
    kernel: [1, 5],
    padding: { top: 0, left: 2, bottom: 0, right: 2 },
  },
  {
    name: "5×1",
    shape: [1, 9, 6, 8],
    out: 8,
    kernel: [5, 1],
    padding: { top: 2, left: 0, bottom: 2, right: 0 },
  },
  { name: "nearest to an odd size", shape: [2, 4, 5, 6], out: 4, kernel: [3, 3], padding: 1, resize: [7, 9] },
  { name: "nearest doubled", shape: [1, 4, 5, 4], out: 8, kernel: [3, 3], padding: 1, resize: [8, 10] },
  { name: "many pixels, wide", shape: [1, 48, 50, 16], out: 68, kernel: [3, 3], padding: 1 },
  { name: "2,500 pixels to 3 channels", shape: [1, 50, 50, 8], out: 3, kernel: [3, 3], padding: 1 },
];

function prepare(gpu: Gpu, c: Case) {
  const channels = c.shape[3];
  const weightShape: [number, number, number, number] = [c.out, channels, ...c.kernel];
  const w = generatedWeight("conv.weight", weightShape);
  const [x, xData] = signalTensor(gpu, "x", c.shape);
  const [bias, biasData] = signalTensor(gpu, "bias", [1, c.out]);
  const packed = gpu.tensor(packedConv2dShape(weightShape), "weight", packConv2dWeight(w, weightShape));
  const padding = c.padding ?? 0;
  const pad = typeof padding === "number"
    ? { top: padding, left: padding, bottom: padding, right: padding }
    : padding;
  const options: Conv2dOptions = {
    weight: packed,
    kernel: c.kernel,
    bias,
    stride: c.stride ?? 1,
    padding,
    label: c.name,
    ...(c.resize ? { resize: c.resize } : {}),
  };
  const reference = {
    x: xData,
    shape: c.shape,
    weight: w,
    weightShape,
    bias: biasData,
    stride: c.stride ?? 1,
    pad,
    ...(c.resize ? { resize: c.resize } : {}),
  };
  return { x, options, reference };
}

for (
  const [variant, gpuOptions] of [["subgroups", undefined], ["workgroup memory", {
    subgroups: false,
  }]] as const
) {
  gpuTest(`conv2d() equals the float64 loop for every shape with ${variant}`, async (gpu) => {
    assert.equal(gpu.facts.subgroupSize > 0, variant === "subgroups");
    for (const c of CASES) {
      const { x, options, reference } = prepare(gpu, c);
      const [y] = await evaluate(gpu, (rec) => conv2d(rec, x, options));
      assertAllClose(y!, conv2dReference(reference).y, { ...TOLERANCE.f32, label: c.name });
    }
  }, gpuOptions);

  gpuTest(
    `conv2d() fuses activation, per-channel values, scale and residual with ${variant}`,
    async (gpu) => {
      const c: Case = { name: "fused", shape: [2, 5, 6, 8], out: 10, kernel: [3, 3], padding: 1 };
      const { x, options, reference } = prepare(gpu, c);
      const [add, addData] = signalTensor(gpu, "add", [2, 10]);
      const [residual, residualData] = signalTensor(gpu, "residual", [2, 5, 6, 10]);
      for (const [activation, f] of Object.entries(activations) as [Activation, (v: number) => number][]) {
        const fused = { ...options, activation, channelAdd: add, scale: 0.5 };
        const [after, before] = await evaluate(gpu, (rec) => [
          conv2d(rec, x, { ...fused, residual }),
          conv2d(rec, x, { ...fused, accumulate: residual }),
        ]);
        const expected = conv2dReference({
          ...reference,
          finish: (sum, { n, o, index }) => f(sum + addData[n * 10 + o]!) * 0.5 + residualData[index]!,
        });
        const accumulated = conv2dReference({
          ...reference,
          finish: (sum, { n, o, index }) => f(sum + addData[n * 10 + o]! + residualData[index]!) * 0.5,
        });
        assertAllClose(after!, expected.y, { ...TOLERANCE.f32, label: activation });
        assertAllClose(before!, accumulated.y, { ...TOLERANCE.f32, label: `${activation}, accumulated` });
      }
    },
    gpuOptions,
  );

  gpuTest(`conv2d() gives the same bytes in bands with ${variant}`, async (gpu) => {
    using small = await Gpu.open({ allowCpu: true, ...gpuOptions, maxBindingBytes: 4096 });
    for (const c of CASES) {
      // The weight itself and a few rows must fit.
      if (c.kernel[0] * c.kernel[1] * c.shape[3] * c.out > 800 || c.shape[2] >= 50) continue;
      const results: Float32Array[] = [];
      for (const each of [gpu, small]) {
        const { x, options, reference } = prepare(each, c);
        const [residual] = signalTensor(each, "residual", conv2dReference(reference).shape);
        results.push(...await evaluate(each, (rec) => conv2d(rec, x, { ...options, residual })));
      }
      assert.deepEqual(results[1], results[0], c.name);
    }
  }, gpuOptions);
}

gpuTest("conv2d() covers more than 65,535 workgroups' worth of pixels", async (gpu) => {
  const c: Case = { name: "long", shape: [1, 70000, 1, 4], out: 4, kernel: [1, 1] };
  const { x, options, reference } = prepare(gpu, c);
  const [y] = await evaluate(gpu, (rec) => conv2d(rec, x, options));
  assertAllClose(y!, conv2dReference(reference).y, { ...TOLERANCE.f32 });
}, { subgroups: false });

gpuTest("conv2d() refuses shapes that do not fit, naming layer and sizes", async (gpu) => {
  const { x, options } = prepare(gpu, { name: "conv_in", shape: [1, 4, 4, 8], out: 4, kernel: [3, 3] });
  const [wrong] = signalTensor(gpu, "wrong", [1, 4, 4, 12]);
  const [tiny] = signalTensor(gpu, "tiny", [1, 2, 2, 8]);
  const run = (input: typeof x, more: Partial<Conv2dOptions> = {}) => () =>
    evaluate(gpu, (rec) => conv2d(rec, input, { ...options, ...more }));
  await assert.rejects(run(wrong), /"conv_in": input has 12 channels/);
  await assert.rejects(run(tiny), /smaller than the kernel/);
  await assert.rejects(run(x, { residual: tiny }), /residual \[1,2,2,8\], output \[1,2,2,4\]/);
});
