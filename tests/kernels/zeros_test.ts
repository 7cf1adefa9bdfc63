import { deepStrictEqual } from "node:assert/strict";
import { zeros } from "../../src/kernels/zeros.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest } from "../_gpu_test.ts";

for (
  const [criterion, shape] of Object.entries({
    "fills maps": [2, 3, 5, 6],
    "fills one value": [1, 1],
    "spreads over more than 65,535 workgroups": [1, 2049, 2048, 1],
  })
) {
  gpuTest(`zeros() ${criterion}`, async (gpu) => {
    const [y] = await evaluate(gpu, (rec) => zeros(rec, shape, { label: "zeros" }));
    deepStrictEqual(y!.length, shape.reduce((a, b) => a * b));
    deepStrictEqual(y!.findIndex((v) => v !== 0), -1);
  });
}

gpuTest("zeros() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 512,
    record: (rec) => [zeros(rec, [1, 7, 9, 2], { label: "zeros" })],
  });
});
