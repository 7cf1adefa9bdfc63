import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor, vec4Count } from "../../src/gpu/tensor.ts";
import { conv2d, packConv2dWeight, packedConv2dShape } from "../../src/kernels/conv2d.ts";
import { applyNorm, type KnownNorm } from "../../src/kernels/group_norm.ts";
import { prefersTexture } from "../../src/kernels/tuning.ts";
import { Conv2d } from "../../src/nn/conv2d.ts";
import type { Weights } from "../../src/nn/weights.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { weight as generatedWeight } from "../generated.ts";
import { generatedWeights } from "../generated_weights.ts";
import { trackBuffers } from "../vsr/_track_buffers.ts";

/** Two images with pixels enough for Winograd, and channels of the two parts of the input. */
const SIZE = [2, 9, 12], PARTS = [16, 20] as const, IN = 36, OUT = 18;

/** Runs `use` with a loaded 3×3 layer of generated weights; frees them. */
async function withConv(
  gpu: Gpu,
  inChannels: number | readonly number[],
  use: (conv: Conv2d, weights: Weights) => Promise<void>,
): Promise<void> {
  const weights = generatedWeights(gpu, { prefix: "conv." });
  try {
    const conv = new Conv2d(weights, { in: inChannels, out: OUT, kernel: 3, padding: 1 });
    await weights.load();
    await use(conv, weights);
  } finally {
    weights.free();
  }
}

/** The kernels that `rec` records from now on, by name. */
function watchKernels(rec: Recorder): string[] {
  const names: string[] = [];
  const run = rec.run.bind(rec);
  rec.run = (kernel, dispatch) => {
    names.push(kernel.name);
    run(kernel, dispatch);
  };
  return names;
}

function makeNorm(gpu: Gpu): KnownNorm {
  const [stats] = signalTensor(gpu, "stats", [SIZE[0]!, 2, IN]);
  const [bias] = signalTensor(gpu, "norm.bias", [1, IN]);
  return { stats, bias, activation: "silu" };
}

gpuTest(
  "Conv2d gives by Winograd what the direct kernel gives, for one and two inputs with norm",
  async (gpu) => {
    const norm = makeNorm(gpu);
    const shape = [OUT, IN, 3, 3];
    const packed = packConv2dWeight(generatedWeight("conv.weight", shape), shape);
    const direct = {
      weight: gpu.tensor(packedConv2dShape(shape), "weight", packed),
      bias: gpu.tensor([1, OUT], "bias", generatedWeight("conv.bias", [OUT])),
      kernel: [3, 3],
      padding: 1,
      label: "direct",
    } as const;
    const [whole] = signalTensor(gpu, "x", [...SIZE, IN]);
    const [first] = signalTensor(gpu, "first", [...SIZE, PARTS[0]]);
    const [second] = signalTensor(gpu, "second", [...SIZE, PARTS[1]]);
    for (const x of [whole, [first, second]] as const) {
      for (const inChannels of [IN, PARTS]) {
        await withConv(gpu, inChannels, async (conv) => {
          let kernels: string[] = [];
          const [actual, expected] = await evaluate(gpu, (rec) => {
            kernels = watchKernels(rec);
            const y = conv.forward(rec, x, { norm });
            assert.ok(kernels.includes("winograd_output"), `${kernels}`);
            return [y, conv2d(rec, applyNorm(rec, x, { ...norm, label: "norm" }), direct)];
          });
          assertAllClose(actual!, expected!, { ...TOLERANCE.winograd, label: `in: ${inChannels}` });
        });
      }
    }
  },
);

gpuTest("Conv2d makes Winograd's filter once for two plans and frees it with the weights", async (gpu) => {
  const [x] = signalTensor(gpu, "x", [...SIZE, IN]);
  using buffers = trackBuffers();
  await withConv(gpu, IN, async (conv, weights) => {
    const before = weights.byteLength;
    const results: Float32Array[] = [];
    for (const expected of [1, 0]) {
      let kernels: string[] = [];
      results.push(
        ...await evaluate(gpu, (rec) => {
          kernels = watchKernels(rec);
          return conv.forward(rec, x);
        }),
      );
      assert.equal(kernels.filter((name) => name === "winograd_filter").length, expected);
    }
    assert.ok(results[0]!.every(Number.isFinite));
    assert.deepEqual(results[1], results[0]);
    const inTexture = prefersTexture(gpu.facts, vec4Count([36, IN, OUT]));
    const { storage } = new Tensor([36, IN, OUT], "filter", { inTexture });
    assert.equal(weights.byteLength - before, storage.byteLength);
    assert.equal(buffers.live.size, 3, "weight, bias and filter");
  });
  assert.equal(buffers.live.size, 0);
});

gpuTest("Conv2d makes Winograd's filter in the next plan where the first was given up", async (gpu) => {
  const [x] = signalTensor(gpu, "x", [...SIZE, IN]);
  const results: Float32Array[] = [];
  for (const givenUp of [false, true]) {
    await withConv(gpu, IN, async (conv) => {
      if (givenUp) conv.forward(new Recorder(gpu), x);
      results.push(...await evaluate(gpu, (rec) => conv.forward(rec, x)));
    });
  }
  assert.ok(results[0]!.every(Number.isFinite));
  assert.deepEqual(results[1], results[0]);
});
