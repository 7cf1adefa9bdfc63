import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { TorchFile } from "../../src/checkpoint/torch_file.ts";
import {
  PART_VALUES,
  PartMemory,
  type PartOptions,
  type WeightPart,
} from "../../src/checkpoint/weight_parts.ts";
import { CountingSource } from "../fuzz/_counting_source.ts";
import { safetensorsBytes } from "./_safetensors_bytes.ts";
import { pickleBytes, zipBytes } from "./_torch_bytes.ts";

const ROWS = 1030, COLUMNS = 1024, COUNT = ROWS * COLUMNS;

type File = Pick<SafetensorsFile, "parts" | "read">;

/** The values 0, 1, 2, ... below 2048, again and again, of which float16 has all. */
function values(): Float16Array<ArrayBuffer> {
  return Float16Array.from({ length: COUNT }, (_, i) => i % 2048);
}

async function safetensors(data: Float16Array<ArrayBuffer>): Promise<File> {
  const header = { t: { dtype: "F16", shape: [ROWS, COLUMNS], data_offsets: [0, data.byteLength] } };
  return await SafetensorsFile.from(new CountingSource(safetensorsBytes(header, data)), "x");
}

/** A file with tensor `t` as `data`, and its transpose as `u`. */
async function torch(data: Float16Array<ArrayBuffer>, crc?: number): Promise<File> {
  const stored = { storage: "0", type: "HalfStorage", length: COUNT };
  const pickle = pickleBytes({
    t: { ...stored, shape: [ROWS, COLUMNS], strides: [COLUMNS, 1] },
    u: { ...stored, shape: [COLUMNS, ROWS], strides: [1, COLUMNS] },
  });
  const entries = { "a/data.pkl": pickle, "a/data/0": new Uint8Array(data.buffer) };
  return await TorchFile.from(new CountingSource(zipBytes(entries, crc === undefined ? {} : { crc })), "x");
}

/** All parts of tensor `name`, copied. */
async function partsOf(
  file: File,
  { name = "t", unit }: { name?: string; unit: number },
): Promise<WeightPart[]> {
  const options: PartOptions = { unit, memory: new PartMemory() };
  const copy = ({ values, begin }: WeightPart) => ({ values: values.slice(), begin });
  return await Array.fromAsync(file.parts(name, options), copy);
}

for (const [format, open] of [["SafetensorsFile", safetensors], ["TorchFile", torch]] as const) {
  Deno.test(`${format}.parts() gives whole units, about a million values at once, and read() all of them`, async () => {
    const data = values(), file = await open(data);
    for (
      const [unit, lengths] of [
        [COLUMNS, [PART_VALUES, COUNT - PART_VALUES]],
        [32 * COLUMNS, [PART_VALUES, COUNT - PART_VALUES]],
        [400 * COLUMNS, [800 * COLUMNS, 230 * COLUMNS]],
        [1029 * COLUMNS, [1029 * COLUMNS, COLUMNS]],
        [Infinity, [COUNT]],
      ] as const
    ) {
      const parts = await partsOf(file, { unit });
      assert.deepEqual(parts.map(({ values }) => values.length), lengths);
      for (const { values, begin } of parts) {
        assert.ok(values instanceof Float16Array);
        assertEqual(values, data.subarray(begin, begin + values.length));
      }
      assert.deepEqual(parts.map(({ begin }) => begin), [0, lengths[0]].slice(0, parts.length));
    }
    assertEqual(await file.read("t"), Float32Array.from(data));
  });

  Deno.test(`${format}.parts() names an infinite value by its place in the tensor`, async () => {
    const data = values();
    data[COUNT - 2] = -Infinity;
    const problem = new RegExp(`"t" of "x": element ${COUNT - 2} is -Infinity, wanted finite weights`);
    await assert.rejects(partsOf(await open(data), { unit: COLUMNS }), (error: Error) => {
      assert.ok(error instanceof CheckpointError);
      return problem.test(error.message);
    });
  });
}

Deno.test("TorchFile.parts() compares the checksum of all parts together", async () => {
  const file = await torch(values(), 1);
  await assert.rejects(partsOf(file, { unit: COLUMNS }), /entry "a\/data\/0" does not fit its checksum/);
});

Deno.test("TorchFile.parts() gives a tensor whose elements lie in another order in one part", async () => {
  const data = values();
  const [part, ...others] = await partsOf(await torch(data), { name: "u", unit: 1 });
  assert.equal(others.length, 0);
  const transposed = Float32Array.from(
    { length: COUNT },
    (_, i) => data[i % ROWS * COLUMNS + Math.floor(i / ROWS)]!,
  );
  assertEqual(part!.values, transposed);
});

Deno.test("SafetensorsFile.parts() reads one part ahead, and nothing more once its caller stops", async () => {
  const data = new Float32Array(4 * PART_VALUES);
  const header = { t: { dtype: "F32", shape: [data.length], data_offsets: [0, data.byteLength] } };
  const source = new CountingSource(safetensorsBytes(header, data));
  const file = await SafetensorsFile.from(source, "x");
  const before = source.bytesRead;
  for await (const { begin } of file.parts("t", { unit: 1, memory: new PartMemory() })) {
    if (begin > 0) break;
  }
  assert.equal(source.bytesRead - before, 3 * 4 * PART_VALUES);
});

Deno.test("SafetensorsFile.parts() throws what a read ahead threw only after the part before it", async () => {
  const data = new Float32Array(2 * PART_VALUES);
  const header = { t: { dtype: "F32", shape: [data.length], data_offsets: [0, data.byteLength] } };
  const source = new CountingSource(safetensorsBytes(header, data));
  const readInto = source.readInto.bind(source);
  source.readInto = (bytes, begin) =>
    begin >= 4 * PART_VALUES ? Promise.reject(new Error("gone")) : readInto(bytes, begin);
  const file = await SafetensorsFile.from(source, "x");
  const begins: number[] = [];
  await assert.rejects(async () => {
    for await (const { begin } of file.parts("t", { unit: 1, memory: new PartMemory() })) {
      begins.push(begin);
      await new Promise((resolve) => setTimeout(resolve, 1)); // an unhandled rejection would end the test here
    }
  }, /gone/);
  assert.deepEqual(begins, [0]);
});

function assertEqual(actual: Float32Array | Float16Array, expected: Float32Array | Float16Array): void {
  assert.equal(actual.length, expected.length);
  assert.equal(actual.findIndex((value, i) => value !== expected[i]), -1);
}
