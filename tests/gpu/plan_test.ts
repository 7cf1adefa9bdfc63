import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { gpuTest } from "../_gpu_test.ts";
import { recordScale, scaleKernel } from "./_scale_kernel.ts";

gpuTest("Plan.poison() shows in outputs that nobody wrote", async (gpu) => {
  const rec = new Recorder(gpu);
  const x = gpu.tensor([4, 4], "x", new Float32Array(16).fill(1));
  const y = rec.tensor([4, 4], "y");
  rec.run(scaleKernel, {
    bindings: { x, y },
    params: { count: 3, factor: 2 },
    workgroups: [1, 1, 1],
    label: "all but the last vec4",
  });
  using plan = await rec.finish([y]);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  const values = [...await gpu.read(y)];
  assert.deepEqual(values.slice(0, 12), new Array(12).fill(2));
  assert.deepEqual(values.slice(12), new Array(4).fill(NaN));
  assert.deepEqual(await gpu.read(x), new Float32Array(16).fill(1), "inputs stay");
});

gpuTest("Plan.nodes carry label, kernel with variant and workgroups in the order recorded", async (gpu) => {
  const rec = new Recorder(gpu);
  const x = gpu.tensor([4], "x", Float32Array.of(1, 2, 3, 4));
  const first = recordScale(rec, x, { factor: 2, label: "first" });
  const second = rec.tensor([4], "second");
  rec.run(scaleKernel, {
    bindings: { x: first, y: second },
    params: { count: 1, factor: 5 },
    workgroups: [3, 1, 1],
    constants: { WORKGROUP: 32 },
    label: "second",
  });
  using plan = await rec.finish([second]);
  assert.deepEqual(plan.nodes.map((n) => [n.label, n.kernel, ...n.workgroups]), [
    ["first", "scale", 1, 1, 1],
    ["second", "scale[WORKGROUP=32]", 3, 1, 1],
  ]);
  gpu.submit((encoder) => plan.encode(encoder));
  assert.deepEqual([...await gpu.read(second)], [10, 20, 30, 40]);
});

gpuTest("Plan.encode() replays a range of its dispatches", async (gpu) => {
  const rec = new Recorder(gpu);
  let y = gpu.tensor([1], "x", Float32Array.of(1));
  const outputs = [2, 3, 5].map((factor) => y = recordScale(rec, y, { factor, label: `times ${factor}` }));
  using plan = await rec.finish(outputs);
  plan.poison(gpu);
  async function values(): Promise<number[]> {
    return (await Promise.all(outputs.map((t) => gpu.read(t)))).map(([v]) => v!);
  }
  gpu.submit((encoder) => plan.encode(encoder, 0, 2));
  assert.deepEqual(await values(), [2, 6, NaN]);
  gpu.submit((encoder) => plan.encode(encoder, 2));
  assert.deepEqual(await values(), [2, 6, 30]);
});

Deno.test("Plan.destroy() makes a later replay an error", async () => {
  using gpu = await Gpu.open({ allowCpu: true });
  const rec = new Recorder(gpu);
  const x = gpu.tensor([4], "x", Float32Array.of(1, 2, 3, 4));
  const y = recordScale(rec, x, { factor: 2, label: "y" });
  const plan = await rec.finish([y]);
  plan.destroy();
  gpu.submit((encoder) => plan.encode(encoder));
  await assert.rejects(gpu.done(), { name: "GpuError", kind: "validation", message: /destroyed/ });
});

gpuTest(
  "Recorder.stepwise() runs when the plan is finished and in Plan.beginStep(), not in a replay",
  async (gpu) => {
    const rec = new Recorder(gpu);
    const slow = gpu.tensor([1], "slow", Float32Array.of(2)),
      fast = gpu.tensor([1], "fast", Float32Array.of(3));
    const stepped = rec.stepwise(() => recordScale(rec, slow, { factor: 10, label: "stepwise" }));
    const outputs = [
      recordScale(rec, stepped, { factor: 1, label: "slow" }),
      recordScale(rec, fast, { factor: 1, label: "fast" }),
    ];
    using plan = await rec.finish(outputs);
    assert.deepEqual(plan.nodes.map(({ label }) => label), ["slow", "fast"]);
    async function replay(): Promise<number[]> {
      gpu.submit((encoder) => plan.encode(encoder));
      return (await Promise.all(outputs.map((t) => gpu.read(t)))).map(([v]) => v!);
    }
    assert.deepEqual(await replay(), [20, 3]);
    gpu.write(slow, Float32Array.of(5));
    gpu.write(fast, Float32Array.of(7));
    assert.deepEqual(await replay(), [20, 7]);
    plan.beginStep(gpu);
    assert.deepEqual(await replay(), [50, 7]);
  },
);
