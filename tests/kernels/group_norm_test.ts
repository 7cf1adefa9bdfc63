import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { batchNorm, groupNorm, instanceNorm } from "../../src/kernels/group_norm.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import * as reference from "../reference/normalisation.ts";

const EPS = 1e-5;

interface Case {
  readonly shape: readonly number[];
  readonly groups: number;
}

const cases: Record<string, Case> = {
  "an image": { shape: [1, 8, 8, 32], groups: 8 },
  "several images, height != width": { shape: [3, 5, 9, 16], groups: 4 },
  "groups that are no multiple of 4 channels": { shape: [2, 7, 9, 24], groups: 8 },
  "channels that are no multiple of 4": { shape: [2, 6, 5, 6], groups: 3 },
  "one group": { shape: [1, 4, 3, 10], groups: 1 },
  "one pixel": { shape: [2, 1, 1, 8], groups: 2 },
  "tokens": { shape: [2, 35, 40], groups: 5 },
  "several chunks, the last one short": { shape: [2, 13, 17, 12], groups: 2 },
  "more than the largest number of chunks": { shape: [1, 301, 233, 4], groups: 2 },
};

for (const [name, { shape, groups }] of Object.entries(cases)) {
  gpuTest(`groupNorm() normalises ${name}`, async (gpu) => {
    const channels = shape.at(-1)!;
    const [x, xs] = signalTensor(gpu, "x", shape, 3);
    const [weight, weights] = signalTensor(gpu, "weight", [1, channels]);
    const [bias, biases] = signalTensor(gpu, "bias", [1, channels]);
    const options = { groups, eps: EPS, weight, bias, label: "y" };
    const [y] = await evaluate(gpu, (rec) => groupNorm(rec, x, options));
    const expected = reference.groupNorm(xs, {
      ...flat(shape),
      groups,
      eps: EPS,
      weight: weights,
      bias: biases,
    });
    assertAllClose(y!, expected, TOLERANCE.f32);
  });
}

gpuTest("groupNorm() keeps its precision far from zero", async (gpu) => {
  const shape = [1, 20, 31, 24];
  const data = Float32Array.from(signalTensor(gpu, "x", shape)[1], (v) => v + 1000);
  const x = gpu.tensor(shape, "x", data);
  const [y] = await evaluate(gpu, (rec) => groupNorm(rec, x, { groups: 8, eps: EPS, label: "y" }));
  // The mean, near 1000, can be known to one rounding of 2^-14 in f32.
  const expected = reference.groupNorm(data, { ...flat(shape), groups: 8, eps: EPS });
  assertAllClose(y!, expected, { atol: 7e-5, rtol: TOLERANCE.f32.rtol });
});

gpuTest("groupNorm() gives the bias where a group is constant", async (gpu) => {
  const x = gpu.tensor([1, 3, 3, 4], "x", new Float32Array(36).fill(7.25));
  const bias = gpu.tensor([1, 4], "bias", Float32Array.of(1, 2, 3, 4));
  const [y] = await evaluate(gpu, (rec) => groupNorm(rec, x, { groups: 2, eps: EPS, bias, label: "y" }));
  assertAllClose(y!, Array.from({ length: 36 }, (_, i) => 1 + i % 4));
});

gpuTest("groupNorm() applies the activation last and leaves the padding channels zero", async (gpu) => {
  const shape = [2, 5, 3, 6];
  const [x, xs] = signalTensor(gpu, "x", shape);
  const expected = reference.groupNorm(xs, { ...flat(shape), groups: 2, eps: EPS });
  const options = { groups: 2, eps: EPS, label: "y" };
  const [silu, sigmoid] = await evaluate(gpu, (rec) => [
    groupNorm(rec, x, { ...options, activation: "silu" }),
    groupNorm(rec, x, { ...options, activation: "sigmoid" }),
  ]);
  assertAllClose(silu!, expected.map((v) => v / (1 + Math.exp(-v))), TOLERANCE.f32);
  assertAllClose(sigmoid!, expected.map((v) => 1 / (1 + Math.exp(-v))), TOLERANCE.f32);
});

gpuTest("groupNorm() takes two inputs as their concatenation, groups across the border", async (gpu) => {
  const size = [2, 9, 11];
  const [a, as] = signalTensor(gpu, "a", [...size, 8]);
  const [b, bs] = signalTensor(gpu, "b", [...size, 16], 2);
  const [weight] = signalTensor(gpu, "weight", [1, 24]);
  const joined = new Float32Array(24 * 198);
  for (let p = 0; p < 198; p++) {
    joined.set(as.subarray(8 * p, 8 * p + 8), 24 * p);
    joined.set(bs.subarray(16 * p, 16 * p + 16), 24 * p + 8);
  }
  const x = gpu.tensor([...size, 24], "x", joined);
  const options = { groups: 2, eps: EPS, weight, bias: weight, label: "y" };
  const [two, one] = await evaluate(gpu, (rec) => [
    groupNorm(rec, [a, b], options),
    groupNorm(rec, x, options),
  ]);
  assert.deepEqual(two, one);
});

gpuTest("instanceNorm() normalises every channel alone", async (gpu) => {
  const shape = [2, 9, 13, 7];
  const [x, xs] = signalTensor(gpu, "x", shape);
  const options = { eps: EPS, activation: "relu", label: "y" } as const;
  const [y] = await evaluate(gpu, (rec) => instanceNorm(rec, x, options));
  const expected = reference.groupNorm(xs, { ...flat(shape), groups: 7, eps: EPS });
  assertAllClose(y!, expected.map((v) => Math.max(v, 0)), TOLERANCE.f32);
});

gpuTest("batchNorm() takes the statistics of the whole batch", async (gpu) => {
  const shape = [3, 5, 6, 10];
  const [x, xs] = signalTensor(gpu, "x", shape, 2);
  const [weight, weights] = signalTensor(gpu, "weight", [1, 10]);
  const [bias, biases] = signalTensor(gpu, "bias", [1, 10]);
  const options = { weight, bias, eps: EPS, statistics: "image", label: "y" } as const;
  let shapeOfY: readonly number[] = [];
  const [y] = await evaluate(gpu, (rec) => {
    const tensor = batchNorm(rec, x, options);
    shapeOfY = tensor.shape;
    return tensor;
  });
  const whole = { batch: 1, pixels: 90, channels: 10, groups: 10, eps: EPS, weight: weights, bias: biases };
  assert.deepEqual(shapeOfY, shape);
  assertAllClose(y!, reference.groupNorm(xs, whole), TOLERANCE.f32);
});

gpuTest("batchNorm() takes stored statistics", async (gpu) => {
  const shape = [2, 4, 7, 6];
  const [x, xs] = signalTensor(gpu, "x", shape, 2);
  const [mean, means] = signalTensor(gpu, "mean", [1, 6]);
  const [weight, weights] = signalTensor(gpu, "weight", [1, 6]);
  const [bias, biases] = signalTensor(gpu, "bias", [1, 6]);
  const variances = signalTensor(gpu, "variance", [1, 6])[1].map((v) => 0.1 + v * v);
  const statistics = { mean, variance: gpu.tensor([1, 6], "variance", variances) };
  const [plain, affine] = await evaluate(gpu, (rec) => [
    batchNorm(rec, x, { eps: EPS, statistics, label: "plain" }),
    batchNorm(rec, x, { weight, bias, eps: EPS, statistics, label: "affine" }),
  ]);
  const unit = Array.from(xs, (v, i) => (v - means[i % 6]!) / Math.sqrt(variances[i % 6]! + EPS));
  assertAllClose(plain!, unit, TOLERANCE.f32);
  assertAllClose(affine!, unit.map((v, i) => v * weights[i % 6]! + biases[i % 6]!), TOLERANCE.f32);
});

/** Values of three normalisations, and how many dispatches they took. */
async function normaliseAll(gpu: Gpu): Promise<{ values: Float32Array[]; dispatches: number }> {
  const [x] = signalTensor(gpu, "x", [2, 19, 23, 12]);
  const [a] = signalTensor(gpu, "a", [2, 19, 23, 8]);
  let dispatches = 0;
  const values = await evaluate(gpu, (rec) => {
    const run = rec.run.bind(rec);
    rec.run = (kernel, dispatch) => {
      dispatches++;
      run(kernel, dispatch);
    };
    return [
      groupNorm(rec, x, { groups: 4, eps: EPS, activation: "silu", label: "one" }),
      groupNorm(rec, [a, x], { groups: 4, eps: EPS, label: "two" }),
      batchNorm(rec, x, { eps: EPS, statistics: "image", label: "batch" }),
    ];
  });
  return { values, dispatches };
}

gpuTest("groupNorm() gives the same bytes in bands", async (gpu) => {
  using unlimited = await Gpu.open({ allowCpu: true });
  const bands = await normaliseAll(gpu), whole = await normaliseAll(unlimited);
  assert.equal(whole.dispatches, 3 + 5 + 3);
  assert.ok(bands.dispatches > 30, `${bands.dispatches} dispatches`);
  assert.deepEqual(bands.values, whole.values);
}, { maxBindingBytes: 8192 });

gpuTest("groupNorm() refuses shapes that do not fit", (gpu) => {
  const rec = new Recorder(gpu);
  const x = rec.tensor([1, 4, 4, 8], "x"), odd = rec.tensor([1, 4, 4, 6], "odd");
  const small = rec.tensor([1, 4, 3, 8], "small"), weight = rec.tensor([1, 4], "weight");
  const options = { groups: 2, eps: EPS, label: "norm" };
  assert.throws(() => groupNorm(rec, x, { ...options, groups: 3 }), {
    name: "RangeError",
    message: 'Cannot run group_norm "norm": 8 channels do not divide into 3 groups',
  });
  assert.throws(() => groupNorm(rec, [x, odd], options), {
    name: "RangeError",
    message:
      'Cannot run group_norm "norm": inputs [1,4,4,8] and [1,4,4,6], equal sizes and channels in multiples of 4 wanted',
  });
  assert.throws(() => groupNorm(rec, [x, small], options), RangeError);
  assert.throws(() => groupNorm(rec, x, { ...options, weight }), RangeError);
  assert.throws(() => groupNorm(rec, x, { ...options, bias: weight }), RangeError);
  assert.throws(() => groupNorm(rec, weight, options), RangeError);
  return Promise.resolve();
});

function flat(shape: readonly number[]): { batch: number; pixels: number; channels: number } {
  const pixels = shape.slice(1, -1).reduce((a, b) => a * b, 1);
  return { batch: shape[0]!, pixels, channels: shape.at(-1)! };
}
