import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Plan } from "../../src/gpu/plan.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { blendTile } from "../../src/kernels/blend_tile.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { gpuTest, signalTensor } from "../_gpu_test.ts";
import { blendTile as loops, type Span } from "../reference/blend_tile.ts";

interface Case {
  readonly rows: Span;
  readonly columns: Span;
  readonly height: number;
  readonly width: number;
  readonly channels?: number;
  readonly fade: number;
}

/** The picture after the tile was added, and what it should be. */
async function blend(gpu: Gpu, at: Case): Promise<{ actual: Float32Array; expected: Float64Array }> {
  const { rows, columns, height, width, channels = 3, fade } = at;
  const [x, xData] = signalTensor(gpu, "tile", [1, rows.size, columns.size, channels]);
  const [y, yData] = signalTensor(gpu, "picture", [1, height, width, channels]);
  const rec = new Recorder(gpu);
  blendTile(rec, x, { y, rows, columns, fade, label: "blend" });
  using plan = await rec.finish([]);
  gpu.submit((encoder) => plan.encode(encoder));
  return {
    actual: await gpu.read(y),
    expected: loops(xData, yData, { rows, columns, fade, width, channels }),
  };
}

const CASES: Record<string, Case> = {
  "a corner": {
    rows: { begin: 0, size: 8, next: 6 },
    columns: { begin: 0, size: 8, next: 5 },
    height: 14,
    width: 13,
    fade: 2,
  },
  "the middle": {
    rows: { begin: 6, size: 8, next: 12 },
    columns: { begin: 5, size: 9, next: 10 },
    height: 20,
    width: 19,
    fade: 2,
  },
  "the end, odd fade": {
    rows: { begin: 6, size: 9, next: null },
    columns: { begin: 5, size: 7, next: null },
    height: 15,
    width: 12,
    fade: 3,
  },
  "all of it": {
    rows: { begin: 0, size: 5, next: null },
    columns: { begin: 0, size: 7, next: null },
    height: 5,
    width: 7,
    fade: 1,
  },
  "one channel": {
    rows: { begin: 1, size: 4, next: null },
    columns: { begin: 0, size: 70, next: 60 },
    height: 5,
    width: 90,
    channels: 1,
    fade: 4,
  },
};

for (const [name, at] of Object.entries(CASES)) {
  gpuTest(`blendTile() equals the loops: ${name}`, async (gpu) => {
    const { actual, expected } = await blend(gpu, at);
    assertAllClose(actual, expected, TOLERANCE.f32);
  });
}

for (const name of ["the middle", "one channel"]) {
  const options = { maxBindingBytes: 2048 }; // both pictures are larger
  gpuTest(`blendTile() equals the loops in bands: ${name}`, async (gpu) => {
    const { actual, expected } = await blend(gpu, CASES[name]!);
    assertAllClose(actual, expected, TOLERANCE.f32);
  }, options);
}

gpuTest("blendTile() adds up to the picture where tiles are cut out of it", async (gpu) => {
  const [height, width] = [11, 5];
  const [, data] = signalTensor(gpu, "picture", [1, height, width, 4]);
  const y = gpu.tensor([1, height, width, 4], "sum");
  const columns = { begin: 0, next: null };
  const tiles = [[0, 4], [4, 7], [7, null]] as const; // each 4 rows, with a fade of one row
  const plans: Plan[] = [];
  for (const [begin, next] of tiles) {
    const size = 4 + (next === null ? 0 : 1);
    const x = gpu.tensor(
      [1, size, width, 4],
      "tile",
      data.slice(4 * width * begin, 4 * width * (begin + size)),
    );
    const rec = new Recorder(gpu);
    blendTile(rec, x, { y, rows: { begin, next }, columns, fade: 1, label: "blend" });
    plans.push(await rec.finish([]));
  }
  gpu.submit((encoder) => plans.forEach((plan) => plan.encode(encoder)));
  assertAllClose(await gpu.read(y), data, TOLERANCE.f32);
  for (const plan of plans) plan.destroy();
});

gpuTest("blendTile() refuses a tile that sticks out, and other channels", async (gpu) => {
  const x = gpu.tensor([1, 4, 4, 3], "tile"), y = gpu.tensor([1, 6, 6, 3], "picture");
  const rec = new Recorder(gpu);
  const inside = { begin: 0, next: null };
  assert.throws(
    () => blendTile(rec, x, { y, rows: { begin: 3, next: null }, columns: inside, fade: 1, label: "blend" }),
    new RangeError('Cannot run blend_tile "blend": [1,4,4,3] at row 3, column 0 is not within [1,6,6,3]'),
  );
  assert.throws(
    () =>
      blendTile(rec, gpu.tensor([1, 4, 4, 4], "rgba"), {
        y,
        rows: inside,
        columns: inside,
        fade: 1,
        label: "b",
      }),
    /^RangeError: Cannot run blend_tile "b": "picture" is \[1,6,6,3\], wanted \[1,6,6,4\]/,
  );
  await gpu.done();
});
