import { deepStrictEqual, throws } from "node:assert/strict";
import { Recorder } from "../../src/gpu/recorder.ts";
import { packPanels } from "../../src/kernels/panels.ts";
import { transposePanels } from "../../src/kernels/transpose_panels.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";

for (const shape of [[1, 4, 4], [1, 1, 1], [2, 36, 8], [3, 50, 7], [1, 68, 12], [2, 33, 3]] as const) {
  gpuTest(`transposePanels() transposes [${shape}] into panels, rows padded with zeros`, async (gpu) => {
    const [batch, columns, inner] = shape, rows = 4 * Math.ceil(inner / 4);
    const [x, data] = signalTensor(gpu, "x", shape);
    const transposed = new Float32Array(batch * rows * columns);
    for (const [i, value] of data.entries()) {
      const k = i % inner, n = Math.floor(i / inner) % columns, b = Math.floor(i / inner / columns);
      transposed[(b * rows + k) * columns + n] = value;
    }
    const [y] = await evaluate(gpu, (rec) => transposePanels(rec, x, { label: "transpose" }));
    deepStrictEqual(y, packPanels(transposed, { rows, columns }));
  });
}

gpuTest("transposePanels() refuses another number of axes", (gpu) => {
  throws(
    () => transposePanels(new Recorder(gpu), gpu.tensor([2, 3], "x"), { label: "transpose" }),
    new RangeError('Cannot run transpose_panels "transpose": "x" is [2,3], wanted [B, N, K]'),
  );
  return Promise.resolve();
});
