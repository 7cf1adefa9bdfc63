import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { geglu } from "../../src/kernels/geglu.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";

for (const channels of [40, 4, 1, 2, 3, 5, 22, 31]) {
  gpuTest(`geglu() gates ${channels} channels by as many`, async (gpu) => {
    const [x, xs] = signalTensor(gpu, "x", [2, 7, 2 * channels], 2);
    const [y] = await evaluate(gpu, (rec) => geglu(rec, x, { label: "y" }));
    const expected = new Float64Array(14 * channels);
    for (let row = 0; row < 14; row++) {
      for (let c = 0; c < channels; c++) {
        const at = row * 2 * channels + c;
        expected[row * channels + c] = xs[at]! * gelu(xs[at + channels]!);
      }
    }
    assertAllClose(y!, expected, TOLERANCE.f32);
  });
}

gpuTest("geglu() runs more than 65,535 workgroups", async (gpu) => {
  const rows = 64 * 65_600 + 1;
  const data = new Float32Array(2 * rows).fill(1);
  data[2 * rows - 2] = 2;
  const x = gpu.tensor([1, rows, 2], "x", data);
  const [y] = await evaluate(gpu, (rec) => geglu(rec, x, { label: "y" }));
  gpu.free(x);
  assert.equal(y!.length, rows);
  assertAllClose([y![0]!, y![rows - 2]!, y![rows - 1]!], [gelu(1), gelu(1), 2 * gelu(1)], TOLERANCE.f32);
  assert.equal(y!.findIndex((value, i) => value !== (i === rows - 1 ? 2 : 1) * y![0]!), -1);
});

gpuTest("geglu() gives the same bytes in bands", async (gpu) => {
  using unlimited = await Gpu.open({ allowCpu: true });
  const results: Float32Array[][] = [];
  for (const device of [gpu, unlimited]) {
    const [x] = signalTensor(device, "x", [2, 131, 28]);
    results.push(await evaluate(device, (rec) => geglu(rec, x, { label: "y" })));
  }
  assert.deepEqual(results[0], results[1]);
}, { maxBindingBytes: 4096 });

gpuTest("geglu() refuses an odd number of channels", (gpu) => {
  const rec = new Recorder(gpu);
  assert.throws(() => geglu(rec, rec.tensor([1, 3, 7], "x"), { label: "ff" }), {
    name: "RangeError",
    message: 'Cannot run geglu "ff": input [1,3,7], an even number of channels wanted',
  });
  return Promise.resolve();
});

/** v · Φ(v), by Simpson's rule on the normal density: exact to 1e-12 for |v| <= 6. */
function gelu(v: number): number {
  const steps = 200, h = v / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const factor = i === 0 || i === steps ? 1 : i % 2 ? 4 : 2;
    sum += factor * Math.exp(-((i * h) ** 2) / 2);
  }
  return v * (0.5 + sum * h / 3 / Math.sqrt(2 * Math.PI));
}
