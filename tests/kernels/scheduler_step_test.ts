import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { schedulerStep } from "../../src/kernels/scheduler_step.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { schedulerStep as loops } from "../reference/scheduler_step.ts";

const COEFFICIENTS = {
  x0FromSample: 0.8,
  x0FromOutput: -0.6,
  clip: 1,
  prevFromX0: 0.3,
  prevFromSample: 0.65,
  prevFromOutput: -0.125,
  prevFromNoise: 0.25,
};
const UNCLIPPED = 3.4e38;

function coefficientTensor(gpu: Gpu, coefficients: typeof COEFFICIENTS): Tensor {
  const { x0FromSample, x0FromOutput, clip, prevFromX0, prevFromSample, prevFromOutput, prevFromNoise } =
    coefficients;
  const data = [
    x0FromSample,
    x0FromOutput,
    clip,
    prevFromX0,
    prevFromSample,
    prevFromOutput,
    prevFromNoise,
    0,
  ];
  return gpu.tensor([1, 8], "coefficients", Float32Array.from(data));
}

for (const shape of [[1, 8, 8, 4], [2, 5, 9, 4], [1, 3, 5, 3], [1, 1, 1, 4]]) {
  for (const clip of [1, UNCLIPPED]) {
    gpuTest(`schedulerStep() equals the loops for [${shape}], clip ${clip}`, async (gpu) => {
      const [z, sample] = signalTensor(gpu, "z", shape);
      const [output, outputData] = signalTensor(gpu, "output", shape);
      const [noise, noiseData] = signalTensor(gpu, "noise", shape);
      const coefficients = { ...COEFFICIENTS, clip };
      const [previous, clean] = await evaluate(gpu, (rec) => {
        const k = coefficientTensor(gpu, coefficients);
        const step = schedulerStep(rec, { z, output, noise, coefficients: k, label: "step" });
        return [step.previous, step.clean];
      });
      const expected = loops(coefficients, { sample, output: outputData, noise: noiseData });
      assertAllClose(previous!, expected.prev, TOLERANCE.f32);
      assertAllClose(clean!, expected.x0, TOLERANCE.f32);
    });
  }
}

gpuTest("schedulerStep() clips on both sides and lets NaN through", async (gpu) => {
  const z = gpu.tensor([1, 1, 1, 4], "z", Float32Array.of(9, -9, NaN, 0.5));
  const zero = gpu.tensor([1, 1, 1, 4], "zero");
  const coefficients = coefficientTensor(gpu, { ...COEFFICIENTS, x0FromSample: 1, clip: 2 });
  const [clean] = await evaluate(
    gpu,
    (rec) => schedulerStep(rec, { z, output: zero, noise: zero, coefficients, label: "step" }).clean,
  );
  assert.deepEqual([...clean!], [2, -2, NaN, 0.5]);
});

gpuTest("schedulerStep() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 512,
    record(rec) {
      const [z] = signalTensor(rec.gpu, "z", [1, 9, 7, 4]);
      const [output] = signalTensor(rec.gpu, "output", [1, 9, 7, 4]);
      const [noise] = signalTensor(rec.gpu, "noise", [1, 9, 7, 4]);
      const coefficients = coefficientTensor(rec.gpu, COEFFICIENTS);
      const { previous, clean } = schedulerStep(rec, { z, output, noise, coefficients, label: "step" });
      return [previous, clean];
    },
  });
});

gpuTest("schedulerStep() refuses inputs of different shapes", async (gpu) => {
  const z = gpu.tensor([1, 2, 2, 4], "z"), noise = gpu.tensor([1, 2, 3, 4], "noise");
  const coefficients = coefficientTensor(gpu, COEFFICIENTS);
  await assert.rejects(
    evaluate(gpu, (rec) => schedulerStep(rec, { z, output: z, noise, coefficients, label: "step" }).clean),
    new RangeError('Cannot run scheduler_step "step": "noise" is [1,2,3,4], wanted [1,2,2,4]'),
  );
});
