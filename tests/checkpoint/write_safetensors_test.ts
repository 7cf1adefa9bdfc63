import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { SafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { writeSafetensors } from "../../src/checkpoint/write_safetensors.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

const SHAPES = new Map([["a", [1, 2, 3]], ["é.1", [2]]]);
const VALUES = [Float32Array.of(1, -2, 3.5, NaN, Infinity, 0), Float32Array.of(7, 8)];

Deno.test("writeSafetensors() writes what SafetensorsFile reads, whatever the values are", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "x.safetensors");
    await Deno.writeFile(path, await written(VALUES));
    using file = await SafetensorsFile.open(path);
    deepStrictEqual([...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, [...shape]]), [
      ["a", "F32", [1, 2, 3]],
      ["é.1", "F32", [2]],
    ]);
    for (const [i, name] of [...SHAPES.keys()].entries()) {
      const { buffer } = await file.readBytes(name);
      deepStrictEqual(new Float32Array(buffer), VALUES[i]);
    }
  }));

Deno.test("writeSafetensors() rounds to f16 what is named, and nothing else", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "x.safetensors");
    await Deno.writeFile(
      path,
      await written([Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(1 / 3, -65_519)], "é.1"),
    );
    using file = await SafetensorsFile.open(path);
    deepStrictEqual([...file.tensors.values()].map(({ dtype }) => dtype), ["F32", "F16"]);
    deepStrictEqual(await file.read("a"), Float32Array.of(1, 2, 3, 4, 5, 6));
    deepStrictEqual(await file.read("é.1"), Float32Array.of(0.333251953125, -65_504));
  }));

Deno.test("writeSafetensors() begins data at a multiple of 8 bytes and takes a view of a larger buffer", async () => {
  const views = VALUES.map((values) => new Float32Array([9, ...values, 9]).subarray(1, -1));
  const bytes = await written(views);
  strictEqual(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8, 0);
  deepStrictEqual(bytes, await written(VALUES));
});

for (
  const [what, values, message] of [
    [
      "too few values",
      [Float32Array.of(1), VALUES[1]!],
      'Cannot write tensor "a": it has 1 values, [1,2,3] takes 6',
    ],
    ["a missing tensor", VALUES.slice(0, 1), 'Cannot write tensor "é.1": it has no values'],
    ["a tensor too many", [...VALUES, VALUES[1]!], "Cannot write tensor 3: 2 are wanted"],
  ] as const
) {
  Deno.test(`writeSafetensors() refuses ${what}`, async () => {
    await rejects(written(values), new RangeError(message));
  });
}

async function written(
  values: readonly Float32Array[],
  ...halves: readonly string[]
): Promise<Uint8Array<ArrayBuffer>> {
  const options = { halves: new Set(halves) };
  const pieces = await Array.fromAsync(writeSafetensors(SHAPES, ReadableStream.from(values), options));
  return await new Response(new Blob(pieces as BlobPart[])).bytes();
}
