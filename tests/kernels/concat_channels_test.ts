import assert from "node:assert/strict";
import { concatChannels } from "../../src/kernels/concat_channels.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { concatChannels as loops } from "../reference/concat_channels.ts";

const CASES = [
  { leading: [1, 8, 8], channels: [4, 4] },
  { leading: [2, 5, 9], channels: [8, 12, 3] },
  { leading: [1, 5, 3], channels: [4, 3] },
  { leading: [2, 3, 7], channels: [126, 2] },
  { leading: [1, 3, 4], channels: [4, 3, 4] },
  { leading: [1, 6], channels: [1, 2, 1, 5] },
  { leading: [1, 1, 1], channels: [8, 4, 4, 4] },
  { leading: [1], channels: [1, 1] },
];

for (const { leading, channels } of CASES) {
  gpuTest(`concatChannels() puts channels ${channels.join(" + ")} together, [${leading}, C]`, async (gpu) => {
    const parts = channels.map((count, k) => signalTensor(gpu, `part ${k}`, [...leading, count]));
    const [y] = await evaluate(gpu, (rec) => concatChannels(rec, parts.map(([t]) => t), { label: "cat" }));
    assert.deepEqual([...y!], [...loops(parts.map(([, data]) => data), channels)]);
  });
}

for (const channels of [[8, 4], [5, 6, 2]]) {
  gpuTest(`concatChannels() gives the same bytes in bands, ${channels.join(" + ")}`, async (gpu) => {
    await assertSameInBands(gpu, {
      maxBindingBytes: 1024,
      record(rec) {
        const parts = channels.map((count, k) => signalTensor(rec.gpu, `part ${k}`, [2, 5, 9, count])[0]);
        return [concatChannels(rec, parts, { label: "cat" })];
      },
    });
  });
}

gpuTest("concatChannels() refuses one part, five, and parts of other sizes", async (gpu) => {
  const x = gpu.tensor([1, 2, 3, 4], "x"), other = gpu.tensor([1, 3, 2, 4], "other");
  await assert.rejects(
    evaluate(gpu, (rec) => concatChannels(rec, [x], { label: "cat" })),
    new RangeError('Cannot run concat_channels "cat": 1 tensors, wanted 2 to 4'),
  );
  await assert.rejects(
    evaluate(gpu, (rec) => concatChannels(rec, [x, x, x, x, x], { label: "cat" })),
    new RangeError('Cannot run concat_channels "cat": 5 tensors, wanted 2 to 4'),
  );
  await assert.rejects(
    evaluate(gpu, (rec) => concatChannels(rec, [x, other], { label: "cat" })),
    new RangeError('Cannot run concat_channels "cat": "other" is [1,3,2,4], wanted [1,2,3,4]'),
  );
});
