import assert from "node:assert/strict";
import { avgPool2d } from "../../src/kernels/avg_pool2d.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { avgPool2d as loops } from "../reference/avg_pool2d.ts";

const SHAPES = [[1, 8, 8, 4], [2, 7, 10, 5], [2, 4, 9, 130], [1, 2, 2, 1], [1, 3, 3, 4]] as const;

for (const shape of SHAPES) {
  gpuTest(`avgPool2d() equals the loops for [${shape}]`, async (gpu) => {
    const [batch, height, width, channels] = shape;
    const [x, xData] = signalTensor(gpu, `x ${shape}`, shape);
    const [y] = await evaluate(gpu, (rec) => avgPool2d(rec, x, { label: "pool" }));
    assertAllClose(y!, loops(xData, { batch, height, width, channels }), TOLERANCE.f32);
  });
}

gpuTest("avgPool2d() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 2048,
    record: (rec) => [avgPool2d(rec, signalTensor(rec.gpu, "x", [2, 11, 9, 7])[0], { label: "pool" })],
  });
});

gpuTest("avgPool2d() refuses a single row", async (gpu) => {
  const x = gpu.tensor([1, 1, 8, 3], "x");
  await assert.rejects(
    evaluate(gpu, (rec) => avgPool2d(rec, x, { label: "pool" })),
    new RangeError('Cannot run avg_pool2d "pool": "x" is [1,1,8,3], wanted 2×2 or more'),
  );
});
