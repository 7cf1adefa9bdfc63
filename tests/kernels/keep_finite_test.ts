import assert from "node:assert/strict";
import { keepFinite } from "../../src/kernels/keep_finite.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";

const LABEL = "keep";

for (const shape of [[1, 5, 7, 4], [2, 3, 3], [1, 1]]) {
  gpuTest(
    `keepFinite() gives new values while nothing is bad, then the old ones: [${shape}]`,
    async (gpu) => {
      const [x, fresh] = signalTensor(gpu, "x", shape);
      const [old, stale] = signalTensor(gpu, "old", shape);
      for (
        const [passed, bad, expected] of [[0, 0, fresh], [7, 0, fresh], [0, 1, stale], [3, 9, stale]] as const
      ) {
        const state = gpu.tensor([1, 4], "state", Float32Array.of(passed, bad, 0, 0));
        const [y] = await evaluate(gpu, (rec) => keepFinite(rec, x, { old, state, label: LABEL }));
        assert.deepEqual(y, expected, `after ${passed} good ones, ${bad} bad values`);
      }
    },
  );
}

gpuTest("keepFinite() lets nothing of bad values through", async (gpu) => {
  const x = gpu.tensor([1, 4], "x", Float32Array.of(NaN, Infinity, -Infinity, 1));
  const [old, stale] = signalTensor(gpu, "old", [1, 4]);
  const state = gpu.tensor([1, 4], "state", Float32Array.of(0, 3, 0, 0));
  const [y] = await evaluate(gpu, (rec) => keepFinite(rec, x, { old, state, label: LABEL }));
  assert.deepEqual(y, stale);
});

gpuTest("keepFinite() takes more than 65535 workgroups", async (gpu) => {
  const shape = [65536, 64, 1];
  const x = gpu.tensor(shape, "x", Float32Array.from({ length: 65536 * 64 }, (_, i) => i));
  const old = gpu.tensor(shape, "old"), state = gpu.tensor([1, 4], "state");
  const [y] = await evaluate(gpu, (rec) => keepFinite(rec, x, { old, state, label: LABEL }));
  assert.equal(y!.findIndex((v, i) => v !== i), -1);
});

gpuTest("keepFinite() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 4096,
    record: (rec) => {
      const [x] = signalTensor(rec.gpu, "x", [1, 31, 17, 3]),
        [old] = signalTensor(rec.gpu, "old", [1, 31, 17, 3]);
      return [keepFinite(rec, x, { old, state: rec.gpu.tensor([1, 4], "state"), label: LABEL })];
    },
  });
});

gpuTest("keepFinite() refuses old values of another shape", async (gpu) => {
  const [x] = signalTensor(gpu, "x", [1, 2, 2, 3]), [old] = signalTensor(gpu, "old", [1, 2, 3, 3]);
  await assert.rejects(
    evaluate(gpu, (rec) => keepFinite(rec, x, { old, state: gpu.tensor([1, 4], "state"), label: LABEL })),
    new RangeError(`Cannot run keep_finite "keep": "old" is [1,2,3,3], wanted [1,2,2,3]`),
  );
});
