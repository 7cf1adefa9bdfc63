import assert from "node:assert/strict";
import { finiteCheck } from "../../src/kernels/finite_check.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { finiteCheck as loops } from "../reference/finite_check.ts";

for (const shape of [[1, 8, 8, 4], [2, 45, 31, 3], [1, 700, 5], [1, 1]]) {
  gpuTest(`finiteCheck() equals the loops for [${shape}]`, async (gpu) => {
    const [, data] = signalTensor(gpu, `x ${shape}`, shape);
    // Away from zero, so that padding channels would show in minimum and mean.
    const x = gpu.tensor(shape, "x", data.map((v) => v + 5));
    const [y] = await evaluate(gpu, (rec) => finiteCheck(rec, x, { label: "check" }));
    assertAllClose(y!, loops(data.map((v) => v + 5)), TOLERANCE.f32);
  });
}

gpuTest("finiteCheck() counts NaN and both infinities and leaves them out of the rest", async (gpu) => {
  const data = new Float32Array(3 * 4000).fill(2);
  data[0] = NaN;
  data[1] = -7;
  data[5000] = Infinity;
  data[7001] = -Infinity;
  data[11_998] = 9;
  data[11_999] = NaN;
  const x = gpu.tensor([4000, 3], "x", data);
  const [y] = await evaluate(gpu, (rec) => finiteCheck(rec, x, { label: "check" }));
  assert.deepEqual([...y!.subarray(0, 3)], [4, -7, 9]);
  assertAllClose(y!, loops(data), TOLERANCE.f32);
});

gpuTest("finiteCheck() takes the largest and the smallest floats for finite", async (gpu) => {
  const x = gpu.tensor([1, 3], "x", Float32Array.of(3.4e38, -3.4e38, 1e-30));
  const [y] = await evaluate(gpu, (rec) => finiteCheck(rec, x, { label: "check" }));
  assert.equal(y![0], 0);
});

gpuTest("finiteCheck() says that nothing was finite", async (gpu) => {
  const x = gpu.tensor([1, 2], "x", Float32Array.of(NaN, Infinity));
  const [y] = await evaluate(gpu, (rec) => finiteCheck(rec, x, { label: "check" }));
  const largest = Math.fround(3.4028234663852886e38);
  assert.deepEqual([...y!], [2, largest, -largest, 0]);
});

gpuTest("finiteCheck() takes several tensors of any shapes for one", async (gpu) => {
  const [x, first] = signalTensor(gpu, "x", [1, 45, 31, 3]),
    [y, second] = signalTensor(gpu, "y", [1, 700, 5]);
  const bad = gpu.tensor([1, 2], "bad", Float32Array.of(NaN, 9));
  const [all] = await evaluate(gpu, (rec) => finiteCheck(rec, [x, y, bad], { label: "check" }));
  assertAllClose(all!, loops([...first, ...second, NaN, 9]), TOLERANCE.f32);
});

gpuTest("finiteCheck() gives the same bytes in bands", async (gpu) => {
  await assertSameInBands(gpu, {
    maxBindingBytes: 40_000,
    record: (rec) => [finiteCheck(rec, signalTensor(rec.gpu, "x", [1, 61, 97, 5])[0], { label: "check" })],
  });
});
