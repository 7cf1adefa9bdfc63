import assert from "node:assert/strict";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { DerivedWeight } from "../../src/nn/derived_weight.ts";
import { gpuTest } from "../_gpu_test.ts";
import { generatedWeights } from "../generated_weights.ts";

gpuTest("DerivedWeight is computed at each replay where the weights have no room to keep it", async (gpu) => {
  const weights = generatedWeights(gpu, { prefix: "layer." });
  const made: Tensor[] = [];
  const make = (_rec: Recorder, tensor: Tensor) => made.push(tensor);
  const small = new DerivedWeight(weights, [1, 4], make);
  const large = new DerivedWeight(weights, [2 ** 24, 4], make); // 256 MiB
  assert.deepEqual([small.affordable, large.affordable], [true, false]);
  const [first, second] = [new Recorder(gpu), new Recorder(gpu)];
  assert.notEqual(large.tensor(first), large.tensor(first));
  assert.equal(made.length, 2);
  assert.equal(small.tensor(first), small.tensor(first));
  assert.equal(made.length, 3);
  // The first recorder was never finished: the second has to compute it.
  assert.equal(small.tensor(second), made[2]);
  assert.equal(made.length, 4);
  await gpu.done();
});

gpuTest(
  "DerivedWeight is computed at each replay where the weights keep none, and is affordable all the same",
  async (gpu) => {
    const weights = generatedWeights(gpu, { prefix: "layer.", keepDerived: false });
    let made = 0;
    const small = new DerivedWeight(weights, [1, 4], () => made++);
    assert.equal(small.affordable, true);
    const rec = new Recorder(gpu);
    assert.notEqual(small.tensor(rec), small.tensor(rec));
    assert.equal(made, 2);
    assert.equal(weights.derivedBytes, 0);
    await gpu.done();
  },
);
