import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import type { Activation } from "../../src/kernels/activation.ts";
import { conv2d, conv2dKernel, type Conv2dOptions, conv2dSubgroupKernel } from "../../src/kernels/conv2d.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { activations } from "../reference/activation.ts";
import { conv2dReference } from "../reference/conv2d.ts";
import { CONV2D_CASES, type Conv2dCase, prepareConv2d } from "./_conv2d_case.ts";
import { evaluateEveryTile } from "./_product_tiles.ts";

for (
  const [variant, gpuOptions] of [["subgroups", undefined], ["workgroup memory", {
    subgroups: false,
  }]] as const
) {
  gpuTest(`conv2d() equals the float64 loop for every shape with ${variant}`, async (gpu) => {
    assert.equal(gpu.facts.subgroupSize > 0, variant === "subgroups");
    for (const c of CONV2D_CASES) {
      const { x, options, reference } = prepareConv2d(gpu, c);
      const [y] = await evaluate(gpu, (rec) => conv2d(rec, x, options));
      assertAllClose(y!, conv2dReference(reference).y, { ...TOLERANCE.f32, label: c.name });
    }
  }, gpuOptions);

  gpuTest(
    `conv2d() fuses activation, per-channel values, scale and residual with ${variant}`,
    async (gpu) => {
      const c: Conv2dCase = { name: "fused", shape: [2, 5, 6, 8], out: 10, kernel: [3, 3], padding: 1 };
      const { x, options, reference } = prepareConv2d(gpu, c);
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
    for (const c of CONV2D_CASES) {
      // The weight itself and a few rows must fit.
      if (c.kernel[0] * c.kernel[1] * c.shape[3] * c.out > 800 || c.shape[2] >= 50) continue;
      const results: Float32Array[] = [];
      for (const each of [gpu, small]) {
        const { x, options, reference } = prepareConv2d(each, c);
        const [residual] = signalTensor(each, "residual", conv2dReference(reference).shape);
        results.push(...await evaluate(each, (rec) => conv2d(rec, x, { ...options, residual })));
      }
      assert.deepEqual(results[1], results[0], c.name);
    }
  }, gpuOptions);
}

// A rest in pixels and channels; taps outside; several tiles of most kinds.
gpuTest("conv2d() gives the same bytes with every tile", async (gpu) => {
  for (
    const c of [
      { name: "3×3", shape: [1, 9, 15, 11], out: 71, kernel: [3, 3], padding: 1 },
      { name: "1×1", shape: [2, 3, 1, 29], out: 3, kernel: [1, 1] },
    ] as const satisfies Conv2dCase[]
  ) {
    const { x, options, reference } = prepareConv2d(gpu, c);
    const results = await evaluateEveryTile(gpu, {
      rows: c.shape[0] * c.shape[1] * c.shape[2],
      columns4: Math.ceil(c.out / 4),
      tiled: conv2dKernel,
      subgroup: conv2dSubgroupKernel,
      record: (rec) => conv2d(rec, x, options),
    });
    const [[, first]] = [...results] as [[string, Float32Array]];
    assertAllClose(first, conv2dReference(reference).y, { ...TOLERANCE.f32, label: c.name });
    for (const [tile, values] of results) {
      assert.deepEqual(new Uint32Array(values.buffer), new Uint32Array(first.buffer), `${c.name}, ${tile}`);
    }
  }
});

gpuTest("conv2d() covers more than 65,535 workgroups' worth of pixels", async (gpu) => {
  const c: Conv2dCase = { name: "long", shape: [1, 70000, 1, 4], out: 4, kernel: [1, 1] };
  const { x, options, reference } = prepareConv2d(gpu, c);
  const [y] = await evaluate(gpu, (rec) => conv2d(rec, x, options));
  assertAllClose(y!, conv2dReference(reference).y, { ...TOLERANCE.f32 });
}, { subgroups: false });

gpuTest("conv2d() refuses shapes that do not fit, naming layer and sizes", async (gpu) => {
  const { x, options } = prepareConv2d(gpu, { name: "conv_in", shape: [1, 4, 4, 8], out: 4, kernel: [3, 3] });
  const [wrong] = signalTensor(gpu, "wrong", [1, 4, 4, 12]);
  const [tiny] = signalTensor(gpu, "tiny", [1, 2, 2, 8]);
  const run = (input: typeof x, more: Partial<Conv2dOptions> = {}) => () =>
    evaluate(gpu, (rec) => conv2d(rec, input, { ...options, ...more }));
  await assert.rejects(run(wrong), /"conv_in": input has 12 channels/);
  await assert.rejects(run(tiny), /smaller than the kernel/);
  await assert.rejects(run(x, { residual: tiny }), /residual \[1,2,2,8\], output \[1,2,2,4\]/);
});
