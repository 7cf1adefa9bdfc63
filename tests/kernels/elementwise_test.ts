import assert from "node:assert/strict";
import type { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { add, extrapolate, gruUpdate, multiply, residualRelu, scale } from "../../src/kernels/elementwise.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import * as loops from "../reference/elementwise.ts";

const FACTOR = 3.5;
const SHAPES = [[1, 8, 8, 4], [2, 5, 9, 7], [3, 11, 130], [1, 1]];

function recordAll(rec: Recorder, [a, b, c]: readonly [Tensor, Tensor, Tensor]): Tensor[] {
  return [
    residualRelu(rec, a, b, { label: "residual" }),
    multiply(rec, a, b, { label: "multiply" }),
    gruUpdate(rec, { h: a, z: b, q: c, label: "gru" }),
    add(rec, a, b, { label: "add" }),
    extrapolate(rec, [a, b], { factor: FACTOR, label: "extrapolate" }),
  ];
}

for (const shape of SHAPES) {
  gpuTest(
    `residualRelu(), multiply(), gruUpdate(), add() and extrapolate() equal the loops for [${shape}]`,
    async (gpu) => {
      const [a, aData] = signalTensor(gpu, `a ${shape}`, shape);
      const [b, bData] = signalTensor(gpu, `b ${shape}`, shape);
      const [c, cData] = signalTensor(gpu, `c ${shape}`, shape);
      const [residual, product, state, sum, beyond] = await evaluate(gpu, (rec) => recordAll(rec, [a, b, c]));
      assertAllClose(residual!, loops.residualRelu(aData, bData), TOLERANCE.f32);
      assertAllClose(product!, loops.multiply(aData, bData), TOLERANCE.f32);
      assertAllClose(state!, loops.gruUpdate(aData, bData, cData), TOLERANCE.f32);
      assertAllClose(sum!, loops.add(aData, bData), TOLERANCE.f32);
      assertAllClose(beyond!, loops.extrapolate(aData, bData, FACTOR), TOLERANCE.f32);
    },
  );
}

gpuTest("residualRelu() takes the same tensor twice", async (gpu) => {
  const x = gpu.tensor([1, 3], "x", Float32Array.of(1, -2, 0.5));
  const [y] = await evaluate(gpu, (rec) => residualRelu(rec, x, x, { label: "twice" }));
  assert.deepEqual([...y!], [2, 0, 1]);
});

gpuTest("elementwise kernels give the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 600,
    record(rec) {
      const [a] = signalTensor(rec.gpu, "a", [2, 9, 7, 5]);
      const [b] = signalTensor(rec.gpu, "b", [2, 9, 7, 5]);
      const [c] = signalTensor(rec.gpu, "c", [2, 9, 7, 5]);
      return recordAll(rec, [a, b, c]);
    },
  });
});

gpuTest("multiply() refuses tensors of different shapes", async (gpu) => {
  const a = gpu.tensor([1, 4, 3], "a"), b = gpu.tensor([1, 3, 4], "b");
  await assert.rejects(
    evaluate(gpu, (rec) => multiply(rec, a, b, { label: "product" })),
    new RangeError('Cannot run multiply "product": "b" is [1,3,4], wanted [1,4,3]'),
  );
});

gpuTest("scale() multiplies every value", async (gpu) => {
  const x = gpu.tensor([1, 2, 3], "x", Float32Array.of(1, -2, 0.5, 4, 0, 3));
  const [y] = await evaluate(gpu, (rec) => scale(rec, x, { factor: -0.5, label: "half" }));
  assert.deepEqual([...y!], [-0.5, 1, -0.25, -2, -0, -1.5]);
});
