import { deepStrictEqual, throws } from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { residualRelu } from "../../src/kernels/residual_relu.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";

/** Two signals of a shape: tensors and values. */
function inputs(gpu: Gpu, shape: readonly number[]) {
  const [a, aData] = signalTensor(gpu, "residual.a", shape),
    [b, bData] = signalTensor(gpu, "residual.b", shape);
  return { a, b, aData, bData };
}

for (
  const [criterion, shape] of Object.entries({
    "adds and clips at zero": [2, 3, 5, 6],
    "takes one value": [1, 1, 1, 1],
  })
) {
  gpuTest(`residualRelu() ${criterion}`, async (gpu) => {
    const { a, b, aData, bData } = inputs(gpu, shape);
    const [y] = await evaluate(gpu, (rec) => residualRelu(rec, a, b, { label: "residual" }));
    // One addition in f32: exact.
    deepStrictEqual(y, aData.map((v, i) => Math.max(v + bData[i]!, 0)));
  });
}

gpuTest("residualRelu() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 512,
    record: (rec) => {
      const { a, b } = inputs(rec.gpu, [1, 7, 9, 6]);
      return [residualRelu(rec, a, b, { label: "residual" })];
    },
  });
});

gpuTest("residualRelu() refuses tensors of different shapes", (gpu) => {
  const a = gpu.tensor([1, 2, 2, 4], "a"), b = gpu.tensor([1, 2, 2, 5], "b");
  throws(
    () => residualRelu(new Recorder(gpu), a, b, { label: "residual" }),
    new RangeError('Cannot run residual_relu "residual": "b" is [1,2,2,5], wanted [1,2,2,4]'),
  );
  return Promise.resolve();
});
