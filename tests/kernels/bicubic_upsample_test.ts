import assert from "node:assert/strict";
import { bicubicUpsample } from "../../src/kernels/bicubic_upsample.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { bicubicUpsample as loops } from "../reference/bicubic_upsample.ts";

const CASES = [
  { name: "control", shape: [1, 8, 8, 4], factor: 4, extra: [0, 0] },
  { name: "odd sizes, two images, five channels", shape: [2, 5, 7, 5], factor: 4, extra: [0, 0] },
  { name: "factor 3", shape: [1, 4, 6, 3], factor: 3, extra: [0, 0] },
  { name: "factor 2 with padding", shape: [2, 3, 5, 3], factor: 2, extra: [3, 6] },
  { name: "one pixel", shape: [1, 1, 1, 1], factor: 4, extra: [4, 0] },
  { name: "one row", shape: [1, 1, 9, 3], factor: 8, extra: [0, 1] },
] as const;

for (const { name, shape, factor, extra } of CASES) {
  gpuTest(`bicubicUpsample() equals the loops: ${name}`, async (gpu) => {
    const [batch, height, width, channels] = shape;
    const outHeight = factor * height + extra[0], outWidth = factor * width + extra[1];
    const [x, xData] = signalTensor(gpu, name, shape);
    const [y] = await evaluate(
      gpu,
      (rec) => bicubicUpsample(rec, x, { factor, height: outHeight, width: outWidth, label: "up" }),
    );
    const expected = loops(xData, { batch, height, width, channels }, { factor, outHeight, outWidth });
    assertAllClose(y!, expected, TOLERANCE.f32);
  });
}

gpuTest("bicubicUpsample() copies exactly and repeats the last row and column with factor 1", async (gpu) => {
  const x = gpu.tensor([1, 2, 2, 1], "x", Float32Array.of(0.1, 0.2, 0.3, 1e-7));
  const [y] = await evaluate(
    gpu,
    (rec) => bicubicUpsample(rec, x, { factor: 1, height: 3, width: 4, label: "pad" }),
  );
  const [a, b, c, d] = Float32Array.of(0.1, 0.2, 0.3, 1e-7);
  assert.deepEqual([...y!], [a, b, b, b, c, d, d, d, c, d, d, d]);
});

gpuTest("bicubicUpsample() overshoots at edges instead of clamping", async (gpu) => {
  const x = gpu.tensor([1, 1, 4, 1], "x", Float32Array.of(0, 0, 1, 1));
  const [y] = await evaluate(gpu, (rec) => bicubicUpsample(rec, x, { factor: 2, label: "up" }));
  assert.ok(Math.min(...y!) < -0.05 && Math.max(...y!) > 1.05);
});

gpuTest("bicubicUpsample() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 4096,
    record(rec) {
      const [x] = signalTensor(rec.gpu, "x", [2, 7, 5, 3]);
      return [bicubicUpsample(rec, x, { factor: 4, height: 32, width: 24, label: "up" })];
    },
  });
});

gpuTest("bicubicUpsample() refuses a smaller output and a broken factor", async (gpu) => {
  const x = gpu.tensor([1, 4, 5, 3], "x");
  for (const options of [{ factor: 2, width: 9 }, { factor: 1.5 }, { factor: 0 }]) {
    await assert.rejects(
      evaluate(gpu, (rec) => bicubicUpsample(rec, x, { ...options, label: "up" })),
      /^RangeError: Cannot run bicubic_upsample "up": 4×5 by factor/,
    );
  }
});
