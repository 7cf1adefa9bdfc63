import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { layerNorm } from "../../src/kernels/layer_norm.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import * as reference from "../reference/normalisation.ts";

const EPS = 1e-5;

const cases: Record<string, readonly [number, number, number]> = {
  "tokens": [2, 11, 40],
  "one token of one channel vec4": [1, 1, 4],
  "channels that are no multiple of 4": [3, 7, 30],
  "fewer channels than a vec4": [1, 5, 3],
  "many channels": [1, 3, 1280],
};

for (const [name, shape] of Object.entries(cases)) {
  gpuTest(`layerNorm() normalises ${name}`, (gpu) => check(gpu, shape));
}

gpuTest("layerNorm() normalises all of this with the lanes for GPUs", async (gpu) => {
  Object.assign(gpu, { facts: { ...gpu.facts, software: false } });
  for (const shape of Object.values(cases)) await check(gpu, shape);
}, {});

async function check(gpu: Gpu, shape: readonly [number, number, number]): Promise<void> {
  const [batch, pixels, channels] = shape;
  const [x, xs] = signalTensor(gpu, "x", shape, 3);
  const [weight, weights] = signalTensor(gpu, "weight", [1, channels]);
  const [bias, biases] = signalTensor(gpu, "bias", [1, channels]);
  const [plain, affine] = await evaluate(gpu, (rec) => [
    layerNorm(rec, x, { eps: EPS, label: "plain" }),
    layerNorm(rec, x, { weight, bias, eps: EPS, label: "affine" }),
  ]);
  const sizes = { batch, pixels, channels, eps: EPS };
  assertAllClose(plain!, reference.layerNorm(xs, sizes), TOLERANCE.f32);
  const expected = reference.layerNorm(xs, { ...sizes, weight: weights, bias: biases });
  assertAllClose(affine!, expected, TOLERANCE.f32);
}

gpuTest("layerNorm() keeps its precision far from zero", async (gpu) => {
  const shape = [1, 9, 64];
  const data = Float32Array.from(signalTensor(gpu, "x", shape)[1], (v) => v + 1000);
  const x = gpu.tensor(shape, "x", data);
  const [y] = await evaluate(gpu, (rec) => layerNorm(rec, x, { eps: EPS, label: "y" }));
  const expected = reference.layerNorm(data, { batch: 1, pixels: 9, channels: 64, eps: EPS });
  // The mean, near 1000, can be known to one rounding of 2^-14 in f32; sums of 64 of them to a few.
  assertAllClose(y!, expected, { atol: 2e-4, rtol: TOLERANCE.f32.rtol });
});

gpuTest("layerNorm() runs more than 65,535 workgroups", async (gpu) => {
  const rows = 32 * 65_600 + 1;
  const data = Float32Array.from({ length: 4 * rows }, (_, i) => i % 4 < 2 ? -1 : 1);
  const [y] = await evaluate(
    gpu,
    (rec) => layerNorm(rec, gpu.tensor([1, rows, 4], "x", data), { eps: 0, label: "y" }),
  );
  assert.deepEqual(y, data);
});

gpuTest("layerNorm() gives the same bytes in bands", async (gpu) => {
  using unlimited = await Gpu.open({ allowCpu: true });
  const results: Float32Array[][] = [];
  for (const device of [gpu, unlimited]) {
    const [x] = signalTensor(device, "x", [2, 131, 20]);
    results.push(await evaluate(device, (rec) => layerNorm(rec, x, { eps: EPS, label: "y" })));
  }
  assert.deepEqual(results[0], results[1]);
}, { maxBindingBytes: 4096 });

gpuTest("layerNorm() refuses a weight of another length", (gpu) => {
  const rec = new Recorder(gpu);
  const x = rec.tensor([1, 3, 8], "x"), weight = rec.tensor([1, 4], "weight");
  assert.throws(() => layerNorm(rec, x, { weight, eps: EPS, label: "norm" }), {
    name: "RangeError",
    message: 'Cannot run layer_norm "norm": "weight" is [1,4], wanted [1,8]',
  });
  return Promise.resolve();
});
