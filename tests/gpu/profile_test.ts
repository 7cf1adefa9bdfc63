import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { profile, timesByKernel } from "../../src/gpu/profile.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { gpuTest } from "../_gpu_test.ts";
import { recordScale } from "./_scale_kernel.ts";

/** A plan of `count` dispatches, and its output: x, whose sign changes in each. */
async function recordFlips(gpu: Gpu, count: number) {
  const rec = new Recorder(gpu);
  let y: Tensor = gpu.tensor([4], "x", Float32Array.of(1, 2, 3, 4));
  for (let i = 0; i < count; i++) y = recordScale(rec, y, { factor: -1, label: `flip.${i}` });
  return { plan: await rec.finish([y]), y };
}

// 2,048 dispatches fill one query set.
for (const count of [3, 2049]) {
  gpuTest(`profile() gives one time per dispatch in order and computes the result: ${count}`, async (gpu) => {
    const { plan, y } = await recordFlips(gpu, count);
    using _plan = plan;
    plan.poison(gpu);
    const times = await profile(gpu, plan);
    assert.deepEqual(
      times.map(({ label, kernel }) => [label, kernel]),
      Array.from({ length: count }, (_, i) => [`flip.${i}`, "scale"]),
    );
    for (const { label, durationMs } of times) {
      assert.ok(durationMs >= 0 && durationMs < 10_000, `${label} took ${durationMs} ms`);
    }
    assert.ok(times.some(({ durationMs }) => durationMs > 0), "no dispatch took any time");
    assert.deepEqual([...await gpu.read(y)], [-1, -2, -3, -4]);
  });
}

gpuTest("profile() refuses a device without timestamps", async (gpu) => {
  const { plan } = await recordFlips(gpu, 1);
  using _plan = plan;
  const blind: Gpu = Object.create(gpu, {
    facts: { value: { ...gpu.facts, description: "Sundial", timestamps: false } },
  });
  await assert.rejects(
    profile(blind, plan),
    new TypeError('Cannot profile on "Sundial": it has no timestamp queries'),
  );
});

Deno.test("timesByKernel() sums per kernel variant, slowest first", () => {
  const times = [
    { label: "a", kernel: "scale", durationMs: 1 },
    { label: "b", kernel: "conv2d[TM=8]", durationMs: 2.5 },
    { label: "c", kernel: "scale", durationMs: 0.25 },
    { label: "d", kernel: "conv2d[TM=2]", durationMs: 0.5 },
    { label: "e", kernel: "conv2d[TM=8]", durationMs: 4 },
  ];
  assert.deepEqual(timesByKernel(times), [
    { kernel: "conv2d[TM=8]", count: 2, durationMs: 6.5 },
    { kernel: "scale", count: 2, durationMs: 1.25 },
    { kernel: "conv2d[TM=2]", count: 1, durationMs: 0.5 },
  ]);
  assert.deepEqual(timesByKernel([]), []);
});
