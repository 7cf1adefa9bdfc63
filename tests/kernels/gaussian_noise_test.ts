import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { gaussianNoise } from "../../src/kernels/gaussian_noise.ts";
import { assertAllClose } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest } from "../_gpu_test.ts";
import { gaussianNoise as cpuNoise } from "../reference/philox.ts";

const CASES = [
  { seed: 0, frame: 0, stream: 0, shape: [1, 9, 7, 4] },
  { seed: 2 ** 53 - 1, frame: 4_000_000_000, stream: 51, shape: [1, 40, 50, 4] },
  { seed: 7, frame: 3, stream: 2, shape: [2, 5, 3, 3] },
  { seed: 7, frame: 3, stream: 2, shape: [1, 4, 6] },
];

function counterTensor(gpu: Gpu, options: { seed: number; frame: number; stream: number }): Tensor {
  const { seed, frame, stream } = options;
  const counter = gpu.tensor([1, 4], "counter");
  gpu.writeRaw(counter, Uint32Array.of(frame, stream, seed % 2 ** 32, Math.floor(seed / 2 ** 32)));
  return counter;
}

for (const { seed, frame, stream, shape } of CASES) {
  gpuTest(`gaussianNoise() equals the CPU's for seed ${seed}, shape [${shape}]`, async (gpu) => {
    const counter = counterTensor(gpu, { seed, frame, stream });
    const [noise] = await evaluate(gpu, (rec) => gaussianNoise(rec, { shape, counter, label: "noise" }));
    const channels = shape.at(-1)!, stride = 4 * Math.ceil(channels / 4);
    const positions = noise!.length / channels;
    const drawn = cpuNoise({ seed, frame, stream, count: positions * stride });
    assertAllClose(noise!, drawn.filter((_, i) => i % stride < channels), { atol: 1e-5 });
  });
}

gpuTest("gaussianNoise() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 512,
    record(rec) {
      const counter = counterTensor(rec.gpu, { seed: 1, frame: 2, stream: 3 });
      return [gaussianNoise(rec, { shape: [1, 9, 7, 6], counter, label: "noise" })];
    },
  });
});

gpuTest("gaussianNoise() refuses a counter of another shape", async (gpu) => {
  const counter = gpu.tensor([1, 8], "counter");
  await assert.rejects(
    evaluate(gpu, (rec) => gaussianNoise(rec, { shape: [1, 4], counter, label: "noise" })),
    new RangeError('Cannot run gaussian_noise "noise": "counter" is [1,8], wanted [1,4]'),
  );
});
