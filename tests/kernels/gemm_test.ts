import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { gemm, gemmKernel, gemmSubgroupKernel } from "../../src/kernels/gemm.ts";
import { packPanels } from "../../src/kernels/panels.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { assertSameInBands } from "../_banded.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { gemmReference, type GemmShape } from "../reference/gemm.ts";
import { evaluateEveryTile } from "./_product_tiles.ts";

const BATCHES = [1, 3, 36];
/** One step of the shader, a few, and more than one block of the sum, with and without a rest. */
const INNER = [4, 20, 132, 260];

/** All rows with all columns, batches and inner sizes in turn; then rows enough for larger tiles. */
const CASES: readonly GemmShape[] = [
  ...[1, 7, 9, 33, 260].flatMap((rows, i) =>
    [1, 3, 4, 8, 12, 36, 68].map((columns, j) => {
      const at = 7 * i + j;
      return { batch: BATCHES[at % 3]!, rows, inner: INNER[at % 4]!, columns };
    })
  ),
  { batch: 1, rows: 1030, inner: 20, columns: 12 },
  { batch: 1, rows: 1030, inner: 20, columns: 36 },
];

function prepare(gpu: Gpu, { batch, rows, inner, columns }: GemmShape) {
  const [a, aData] = signalTensor(gpu, "a", [batch, rows, inner]);
  // Results of order one.
  const [b, bData] = signalTensor(gpu, "b", [batch, inner, columns], 1 / Math.sqrt(inner));
  gpu.write(b, packPanels(bData, { rows: inner, columns }));
  return { a, b, aData, bData };
}

for (
  const [variant, gpuOptions] of [["subgroups", undefined], ["workgroup memory", {
    subgroups: false,
  }]] as const
) {
  gpuTest(`gemm() equals the float64 loop for every shape with ${variant}`, async (gpu) => {
    assert.equal(gpu.facts.subgroupSize > 0, variant === "subgroups");
    for (const shape of CASES) {
      const { a, b, aData, bData } = prepare(gpu, shape);
      const [c] = await evaluate(gpu, (rec) => gemm(rec, a, b, { label: "c" }));
      assertAllClose(c!, gemmReference(aData, bData, shape), {
        ...TOLERANCE.f32,
        label: JSON.stringify(shape),
      });
    }
  }, gpuOptions);

  gpuTest(`gemm() gives the same bytes in several dispatches with ${variant}`, async (gpu) => {
    // Matrices of 560, 960 and 336 bytes: almost none begins at an offset that can be bound.
    const shape = { batch: 36, rows: 7, inner: 20, columns: 12 };
    for (const maxBindingBytes of [960 + 256, 3 * 960 + 256, 36 * 960 - 16]) {
      await assertSameInBands(gpu, {
        maxBindingBytes,
        record: (rec) => {
          const { a, b } = prepare(rec.gpu, shape);
          return [gemm(rec, a, b, { label: "c" })];
        },
      });
    }
  }, gpuOptions);

  gpuTest(`gemm() adds in blocks, which keeps long sums precise, with ${variant}`, async (gpu) => {
    const inner = 2 ** 14;
    const a = gpu.tensor([1, 1, inner], "a", new Float32Array(inner).fill(1));
    const b = gpu.tensor([1, inner, 1], "b", new Float32Array(inner).fill(0.1));
    const [c] = await evaluate(gpu, (rec) => gemm(rec, a, b, { label: "c" }));
    const exact = inner * Math.fround(0.1);
    let plain = 0;
    for (let k = 0; k < inner; k++) plain = Math.fround(plain + Math.fround(0.1));
    const error = Math.abs(c![0]! - exact), plainError = Math.abs(plain - exact);
    assert.ok(error < plainError / 4, `error ${error}, of a sum one by one ${plainError}`);
  }, gpuOptions);
}

// A rest in rows, columns and each step of the inner axis; several tiles of most kinds.
gpuTest("gemm() gives the same bytes with every tile", async (gpu) => {
  for (const [rows, columns] of [[135, 71], [3, 5]] as const) {
    const shape = { batch: 2, rows, inner: 148, columns };
    const { a, b, aData, bData } = prepare(gpu, shape);
    const results = await evaluateEveryTile(gpu, {
      rows,
      columns4: Math.ceil(columns / 4),
      tiled: gemmKernel,
      subgroup: gemmSubgroupKernel,
      record: (rec) => gemm(rec, a, b, { label: "c" }),
    });
    const [[, first]] = [...results] as [[string, Float32Array]];
    assertAllClose(first, gemmReference(aData, bData, shape), TOLERANCE.f32);
    for (const [tile, values] of results) {
      assert.deepEqual(new Uint32Array(values.buffer), new Uint32Array(first.buffer), tile);
    }
  }
});

gpuTest("gemm() refuses shapes that do not fit, naming layer and sizes", (gpu) => {
  const rec = new Recorder(gpu);
  const product = (a: readonly number[], b: readonly number[]) => () =>
    gemm(rec, gpu.tensor(a, "a"), gpu.tensor(b, "b"), { label: "layer" });
  assert.throws(product([2, 5, 6], [2, 6, 8]), refusal("[2,5,6] times [2,6,8]"));
  assert.throws(product([2, 5, 8], [2, 12, 8]), refusal("[2,5,8] times [2,12,8]"));
  assert.throws(product([2, 5, 8], [1, 8, 8]), refusal("[2,5,8] times [1,8,8]"));
  assert.throws(product([2, 1, 5, 8], [2, 8, 8]), refusal("[2,1,5,8] times [2,8,8]"));
  return Promise.resolve();
});

gpuTest("gemm() refuses a matrix that cannot be bound", (gpu) => {
  const rec = new Recorder(gpu);
  const { a, b } = prepare(gpu, { batch: 2, rows: 7, inner: 20, columns: 12 });
  assert.throws(
    () => gemm(rec, a, b, { label: "layer" }),
    {
      name: "LimitError",
      message: 'Cannot run "layer": a single row exceeds the 1215 bytes this GPU binds',
    },
  );
  return Promise.resolve();
}, { maxBindingBytes: 1215 });

function refusal(shapes: string): RangeError {
  return new RangeError(
    `Cannot run gemm "layer": ${shapes}, [B, M, K] times [B, K, N] with K a multiple of 4 wanted`,
  );
}
