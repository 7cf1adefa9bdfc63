import assert from "node:assert/strict";
import { dropPadding, padChannels, Tensor, vec4Count } from "../../src/gpu/tensor.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signal } from "../generated.ts";

Deno.test("padChannels() puts zeros after the last channel of each position", () => {
  const padded = padChannels(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), [2, 5]);
  assert.deepEqual([...padded], [1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 9, 10, 0, 0, 0]);
});

Deno.test("dropPadding() gives back what padChannels() got", () => {
  for (const shape of [[1], [3, 1], [2, 3, 2, 3], [2, 4], [1, 2, 7], [5, 8]]) {
    const data = signal(`padding ${shape}`, shape);
    const padded = padChannels(data, shape);
    assert.equal(padded.length, 4 * vec4Count(shape));
    assert.deepEqual(dropPadding(padded, shape), data);
  }
});

Deno.test("padChannels() refuses data that does not fill the shape", () => {
  for (const length of [9, 11, 15]) {
    assert.throws(
      () => padChannels(new Float32Array(length), [2, 5]),
      new RangeError(`Cannot pad channels: ${length} values do not fill shape [2,5]`),
    );
  }
});

Deno.test("Tensor counts vec4s with the channels padded", () => {
  const x = new Tensor([2, 3, 5, 7], "x");
  assert.equal(x.channels4, 2);
  assert.equal(x.vec4s, 2 * 3 * 5 * 2);
  assert.equal(x.storage.byteLength, 16 * x.vec4s);
  assert.equal(x.storage.buffer, null);
});

Deno.test("Tensor.size() counts negative axes from the end and names an axis that is not there", () => {
  const x = new Tensor([2, 3, 5], "x");
  assert.deepEqual([x.size(0), x.size(1), x.size(-1)], [2, 3, 5]);
  for (const axis of [3, -4]) {
    assert.throws(() => x.size(axis), new RangeError(`Cannot read axis ${axis} of "x": shape is [2,3,5]`));
  }
});

Deno.test("Tensor refuses dimensions that are not positive integers", () => {
  for (const shape of [[], [0], [2, -1], [1.5], [NaN], [2, Infinity]]) {
    assert.throws(() => new Tensor(shape, "x"), {
      name: "RangeError",
      message: `Cannot make tensor "x": shape [${shape}] needs positive integers`,
    });
  }
});

Deno.test("Tensor.reshape() shares the storage", () => {
  const x = new Tensor([2, 3, 4, 6], "x");
  const y = x.reshape([2, 12, 6]);
  assert.equal(y.storage, x.storage);
  assert.equal(y.label, "x");
  assert.deepEqual(y.shape, [2, 12, 6]);
});

Deno.test("Tensor.reshape() refuses other channels and another size", () => {
  const x = new Tensor([2, 3, 6], "x");
  assert.throws(
    () => x.reshape([3, 3, 4]),
    new RangeError('Cannot reshape "x" [2,3,6] to [3,3,4]: channels must stay'),
  );
  assert.throws(
    () => x.reshape([2, 4, 6]),
    new RangeError('Cannot view "x" as [2,4,6]: storage has 192 bytes, the shape needs 256'),
  );
});

gpuTest("Gpu.write() and read() keep values, readRaw() shows zeros in the padding", async (gpu) => {
  const shape = [2, 3, 3], data = signal("tensor", shape);
  const x = gpu.tensor(shape, "x", data);
  assert.deepEqual(await gpu.read(x), data);
  const raw = new Float32Array(await gpu.readRaw(x));
  assert.equal(raw.length, 24);
  assert.ok(raw.every((v, i) => i % 4 < 3 || v === 0));
  gpu.free(x);
  assert.equal(x.storage.buffer, null);
});

gpuTest("Gpu.writeRaw() refuses more bytes than the tensor has", (gpu) => {
  const x = gpu.tensor([1, 3], "x");
  assert.throws(
    () => gpu.writeRaw(x, new Uint32Array(5)),
    new RangeError('Cannot write "x": 20 bytes at 0 into 16'),
  );
  assert.throws(
    () => gpu.writeRaw(x, new Uint32Array(3), { byteOffset: 8 }),
    new RangeError('Cannot write "x": 12 bytes at 8 into 16'),
  );
  return Promise.resolve();
});

gpuTest("Gpu.read() refuses a tensor without memory", async (gpu) => {
  await assert.rejects(gpu.read(new Tensor([4], "x")), {
    name: "GpuError",
    kind: "validation",
    message: 'Cannot read "x": it has no memory',
  });
});

gpuTest(
  "Gpu.read() gives back what Gpu.write() put into a texture, with rows in part and padding",
  async (gpu) => {
    for (const dtype of ["f32", "f16"] as const) {
      for (const shape of [[1, 3], [4, 512], [513, 7], [2, 700, 5]]) {
        const x = new Tensor(shape, "x", { dtype, inTexture: true });
        const rows = Math.ceil(x.vec4s / 512);
        assert.equal(x.storage.byteLength, 512 * rows * x.vec4Bytes);
        const data = Float32Array.from(new Float16Array(signal(`texture ${shape}`, shape)));
        gpu.write(x, data);
        assert.deepEqual(await gpu.read(x), data);
        assert.equal(x.storage.texture!.height, rows);
        gpu.free(x);
        assert.equal(x.storage.texture, null);
      }
    }
  },
);

gpuTest("Gpu.writeRaw() writes a texture in parts that begin and end within rows", async (gpu) => {
  const x = new Tensor([2100, 4], "x", { inTexture: true });
  const data = signal("parts", [2100, 4]);
  for (const [from, to] of [[1300, 2100], [0, 100], [100, 1300]] as const) {
    gpu.writeRaw(x, data.subarray(4 * from, 4 * to), { byteOffset: 16 * from });
  }
  assert.deepEqual(await gpu.read(x), data);
  gpu.free(x);
});
