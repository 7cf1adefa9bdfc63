import assert from "node:assert/strict";
import { loadCase, loadIndex, maxRelOf, readTensors, tensorOf } from "./golden_file.ts";

Deno.test("loadIndex() lists every case once", () => {
  const names = loadIndex().map((entry) => entry.name);
  assert.equal(new Set(names).size, names.length);
  assert.ok(names.includes("unet_tiny_dgafnet"));
});

Deno.test("loadCase() finds shapes and types as the index tells them", () => {
  for (const name of ["timestep_embedding", "scheduler_alphas", "bicubic_pil", "pipeline_dgaf"]) {
    const golden = loadCase(name);
    assert.deepEqual([...golden.tensors.keys()].sort(), Object.keys(golden.case.tensors).sort());
    for (const [key, tensor] of golden.tensors) {
      const { shape, dtype } = golden.case.tensors[key]!;
      assert.deepEqual({ shape: tensor.shape, dtype: tensor.dtype }, { shape, dtype });
      assert.equal(tensor.data.length, shape.reduce((size, dimension) => size * dimension, 1));
    }
  }
});

Deno.test("readTensors() reads all four types at any offset", () => {
  const header = new TextEncoder().encode(JSON.stringify({
    __metadata__: { made_by: "test" },
    u8: { dtype: "U8", shape: [3], data_offsets: [0, 3] },
    f32: { dtype: "F32", shape: [1, 1], data_offsets: [3, 7] },
    i64: { dtype: "I64", shape: [1], data_offsets: [7, 15] },
    f64: { dtype: "F64", shape: [], data_offsets: [15, 23] },
  }));
  const file = new Uint8Array(8 + header.length + 23);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  const data = 8 + header.length;
  file.set([1, 2, 255], data);
  view.setFloat32(data + 3, -1.5, true);
  view.setBigInt64(data + 7, -7n, true);
  view.setFloat64(data + 15, 0.1, true);
  assert.deepEqual(
    readTensors(file),
    new Map<string, unknown>([
      ["u8", { shape: [3], dtype: "uint8", data: Uint8Array.of(1, 2, 255) }],
      ["f32", { shape: [1, 1], dtype: "float32", data: Float32Array.of(-1.5) }],
      ["i64", { shape: [1], dtype: "int64", data: Float64Array.of(-7) }],
      ["f64", { shape: [], dtype: "float64", data: Float64Array.of(0.1) }],
    ]),
  );
});

Deno.test("tensorOf(), maxRelOf() and loadCase() name what they cannot find", () => {
  const golden = loadCase("conv2d_3x3");
  assert.deepEqual(tensorOf(golden, "y").shape, [2, 20, 13, 18]);
  assert.equal(maxRelOf(golden, "y"), 2.97e-7);
  assert.throws(() => tensorOf(golden, "z"), /"z" of golden "conv2d_3x3": it has x, y/);
  assert.throws(() => maxRelOf(golden, "x"), /"x" in golden "conv2d_3x3"/);
  assert.throws(() => loadCase("none"), /"none"/);
});
