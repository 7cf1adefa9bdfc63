import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { finiteTally } from "../../src/kernels/finite_tally.ts";
import { gpuTest } from "../_gpu_test.ts";

/** Checks each pair of values in one replay after the other; returns the state after each. */
async function tallyOf(gpu: Gpu, units: readonly (readonly [number, number])[]): Promise<number[][]> {
  const xs = [gpu.tensor([1, 3], "a"), gpu.tensor([2, 5], "b")] as const;
  const state = gpu.tensor([1, 4], "state");
  const rec = new Recorder(gpu);
  finiteTally(rec, xs, { state, label: "tally" });
  using plan = await rec.finish([]);
  plan.poison(gpu);
  const states: number[][] = [];
  for (const [a, b] of units) {
    gpu.write(xs[0], Float32Array.of(1, a, 3));
    gpu.write(xs[1], filled(xs[1], b));
    gpu.submit((encoder) => plan.encode(encoder));
    states.push([...await gpu.read(state)]);
  }
  return states;
}

function filled({ shape }: Tensor, value: number): Float32Array {
  return new Float32Array(shape.reduce((a, b) => a * b)).fill(value);
}

gpuTest("finiteTally() counts what is finite up to the largest float", async (gpu) => {
  const states = await tallyOf(gpu, [[1, 2], [-3.4e38, 3.4e38], [0, 0]]);
  assert.deepEqual(states, [[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]]);
});

gpuTest(
  "finiteTally() stops at the first unit that is not finite and keeps how many values were bad",
  async (gpu) => {
    const states = await tallyOf(gpu, [[1, 2], [NaN, 2], [1, 2], [Infinity, NaN], [1, 2]]);
    assert.deepEqual(states, [[1, 0, 0, 0], ...Array(4).fill([1, 1, 0, 0])]);
  },
);

gpuTest("finiteTally() sees every value of every tensor, padding left out", async (gpu) => {
  assert.deepEqual(await tallyOf(gpu, [[1, -Infinity]]), [[0, 10, 0, 0]]);
  assert.deepEqual(await tallyOf(gpu, [[NaN, NaN]]), [[0, 11, 0, 0]]);
});
