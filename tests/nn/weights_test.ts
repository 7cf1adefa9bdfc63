import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { Linear } from "../../src/nn/linear.ts";
import { Weights } from "../../src/nn/weights.ts";
import { gpuTest } from "../_gpu_test.ts";
import { MemorySource } from "../checkpoint/_memory_source.ts";

/** Loads a linear layer whose weight and bias have these values at one place. */
async function load(
  gpu: ConstructorParameters<typeof Weights>[0],
  { weight, bias, precision }: {
    readonly weight: number;
    readonly bias: number;
    readonly precision: "f32" | "f16";
  },
): Promise<void> {
  const source = new MemorySource({
    weight: { shape: [1, 4], data: [0, 0, weight, 0] },
    bias: { shape: [1], data: [bias] },
  });
  const weights = new Weights(gpu, new WeightView(source), "layer", { precision });
  try {
    new Linear(weights, { in: 4, out: 1 });
    await weights.load();
  } finally {
    weights.free();
  }
}

gpuTest(
  "Weights.load() refuses a matrix that f16 would make infinite, and names tensor and remedy",
  async (gpu) => {
    for (const weight of [65_520, -65_520, 3e38]) {
      await assert.rejects(load(gpu, { weight, bias: 0, precision: "f16" }), (error: Error) => {
        assert.ok(error instanceof CheckpointError, error.stack);
        assert.equal(
          error.message,
          `Cannot store tensor "layer.weight" as f16: element 2 is ${
            Math.fround(weight)
          }, wanted less than 65520; use precision f32`,
        );
        return true;
      });
    }
  },
);

gpuTest("Weights.load() takes the largest f16, large values of a bias, and in f32 all", async (gpu) => {
  await load(gpu, { weight: 65_519, bias: 3e38, precision: "f16" });
  await load(gpu, { weight: 3e38, bias: 0, precision: "f32" });
});
