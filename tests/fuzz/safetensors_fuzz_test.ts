import fc from "fast-check";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { isWeightDType } from "../../src/checkpoint/weight_dtype.ts";
import { safetensorsBytes } from "../checkpoint/_safetensors_bytes.ts";
import { parseSafetensors, type StoredTensor } from "../reference/safetensors.ts";
import { CountingSource } from "./_counting_source.ts";
import { editBytes, edits, editTokens } from "./_edits.ts";
import { assertPrintable, fuzzTest, reasonOf } from "./_fuzz.ts";

const ELEMENT_BITS = { F32: 32, F16: 16, BF16: 16, I64: 64, U8: 8, F6_E3M2: 6, F4: 4 } as const;

const REASONS = {
  "too short for a header": /bytes, wanted at least 8/,
  "header too large": /header of \d+ bytes, wanted at most/,
  "header past the end": /header of \d+ bytes in a file of/,
  "not UTF-8": /not UTF-8/,
  "not JSON": /not valid JSON/,
  "nested too deeply": /nested deeper/,
  "a key twice": /appears twice/,
  "a key that is not Unicode": /is not Unicode/,
  "a number not in plain digits": /is not plain digits/,
  "not an object": /is not a JSON object|"[^]*" is not an object/,
  "metadata that is no text": /__metadata__ is not an object of strings/,
  "a tensor name not allowed": /is not allowed|^Cannot [^]* tensor name/,
  "an unknown key": /has an unknown key/,
  "an unknown dtype": /has an unknown dtype/,
  "a shape that is no list of sizes": /wanted a list of sizes/,
  "offsets that are no pair": /wanted \[begin, end\]/,
  "a shape too large": /has a shape too large to count/,
  "not whole bytes": /does not fill whole bytes/,
  "a size other than the shape's": /takes \d+ bytes/,
  "overlap or hole": /but the one before ends at/,
  "bytes missing or left over": /its tensors end at byte/,
};

/** A tensor of at most a few dozen bytes. */
const tensor = fc.record({
  name: fc.oneof(fc.string({ minLength: 1, maxLength: 6 }), fc.constantFrom("a.weight", "\u001b[2J", "é\0")),
  dtype: fc.constantFrom(...(Object.keys(ELEMENT_BITS) as (keyof typeof ELEMENT_BITS)[])),
  shape: fc.array(fc.nat(3), { maxLength: 3 }),
  fill: fc.nat(255),
}).filter(({ name, dtype, shape }) =>
  !["__proto__", "constructor", "prototype", "__metadata__"].includes(name) &&
  elements(shape) * ELEMENT_BITS[dtype] % 8 === 0
);

/** Header text and data of a well-formed file, and what it holds. */
const wellFormed = fc.record({
  tensors: fc.uniqueArray(tensor, { maxLength: 5, selector: ({ name }) => name }),
  shuffle: fc.nat(),
  metadata: fc.boolean(),
  padding: fc.constantFrom("", " ", "\n\t\r ", " ".repeat(64)),
}).map(({ tensors, shuffle, metadata, padding }) => {
  let end = 0;
  const holds = new Map<string, StoredTensor>();
  const entries = tensors.map(({ name, dtype, shape, fill }) => {
    const begin = end;
    end += elements(shape) * ELEMENT_BITS[dtype] / 8;
    holds.set(name, { dtype, shape, bytes: new Uint8Array(end - begin).map((_, i) => fill + i) });
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`;
  });
  const data = Uint8Array.from([...holds.values()].flatMap(({ bytes }) => [...bytes]));
  if (metadata) entries.push('"__metadata__":{"format":"pt"}');
  const turned = entries.map((_, i) => entries[(i + shuffle) % entries.length]!);
  return { header: `{${turned.join(",")}}${padding}`, data, holds };
});

const corpus = ["time_embedding", "layer_norm", "feed_forward"].map((name) =>
  Deno.readFileSync(fileURLToPath(new URL(`../golden/${name}.safetensors`, import.meta.url)))
);
corpus.push(safetensorsBytes("{}"), new Uint8Array(8));

const WORDS = [0n, 1n, 7n, 1000n, 2n ** 24n, 2n ** 24n + 1n, 100_000_001n, 2n ** 53n + 1n, 2n ** 64n - 196n];

/** Files that are broken in one to a few places, and some that happen to be whole still. */
const hostile = fc.oneof(
  { weight: 6, arbitrary: editedHeader() },
  {
    weight: 2,
    arbitrary: fc.tuple(wellFormed, fc.nat(), fc.constantFrom(-8, -4, -1, 0, 1, 4)).map(misplaced),
  },
  { weight: 3, arbitrary: fc.tuple(wellFormed, edits(3)).map(([f, e]) => editBytes(fileOf(f), e)) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...corpus), edits(3)).map(([f, e]) => editBytes(f, e)) },
  { weight: 1, arbitrary: fc.tuple(wellFormed, fc.constantFrom(...WORDS)).map(([f, w]) => withLength(f, w)) },
  { weight: 1, arbitrary: fc.tuple(wellFormed, fc.nat()).map(([f, n]) => cut(fileOf(f), n)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
);

fuzzTest("SafetensorsFile accepts of 12,000 mutated files what the reference does, with the same tensors", {
  count: 12_000,
  cases: hostile,
  run: async (bytes) => {
    const source = new CountingSource(bytes);
    const expected = outcomeOf(() => parseSafetensors(bytes));
    let file: SafetensorsFile;
    try {
      file = await SafetensorsFile.from(source, "x");
    } catch (error) {
      assert.ok(error instanceof CheckpointError, (error as Error).stack);
      assert.match(error.message, /^Cannot read "x" as safetensors: .+; get the file again from the model's/);
      assertPrintable(error.message);
      assert.ok(error.message.length < 1000, error.message);
      assert.ok(source.bytesRead <= bytes.length);
      assert.equal(expected, null, `refused, but the reference accepts: ${error.message}`);
      return reasonOf(error.message, REASONS);
    }
    assert.ok(expected, "accepted, but the reference refuses");
    assert.ok(source.bytesRead <= bytes.length);
    await assertHolds(file, expected);
    return "accepted";
  },
});

Deno.test("SafetensorsFile reads back 1,000 generated files", async () => {
  const property = fc.asyncProperty(wellFormed, async (generated) => {
    const file = await SafetensorsFile.from(new CountingSource(fileOf(generated)), "x");
    assert.equal(file.tensors.size, generated.holds.size);
    await assertHolds(file, generated.holds);
  });
  await fc.assert(property, { seed: 1, numRuns: 1000 });
});

/** The file has these tensors, and `read()` converts them exactly or names the first value that is not finite. */
async function assertHolds(
  file: SafetensorsFile,
  expected: ReadonlyMap<string, StoredTensor>,
): Promise<void> {
  assert.deepEqual(new Set(file.tensors.keys()), new Set(expected.keys()));
  for (const [name, { dtype, shape, bytes }] of expected) {
    const info = file.tensors.get(name)!;
    assert.deepEqual([info.dtype, info.shape], [dtype, shape]);
    assert.deepEqual(await file.readBytes(name), bytes);
    const values = isWeightDType(dtype) ? floats(dtype, bytes) : null;
    if (values?.every(Number.isFinite)) assert.deepEqual([...await file.read(name)], values);
    else await assert.rejects(file.read(name), CheckpointError);
  }
}

function floats(dtype: "F32" | "F16" | "BF16", bytes: Uint8Array): number[] {
  const size = dtype === "F32" ? 4 : 2;
  return Array.from({ length: bytes.length / size }, (_, i) => {
    const view = new DataView(new ArrayBuffer(4));
    bytes.slice(size * i, size * (i + 1)).forEach((byte, k) =>
      view.setUint8(dtype === "BF16" ? k + 2 : k, byte)
    );
    return dtype === "F16" ? view.getFloat16(0, true) : view.getFloat32(0, true);
  });
}

function editedHeader(): fc.Arbitrary<Uint8Array> {
  const extra = fc.constantFrom(0, 0, 0, 0, -2, -1, 1, 8);
  return fc.tuple(wellFormed, edits(3), extra).map(([{ header, data }, changes, more]) => {
    const body = new Uint8Array(Math.max(0, data.length + more));
    body.set(data.subarray(0, body.length));
    return safetensorsBytes(editTokens(header, changes), body);
  });
}

/** A file of zeros where a tensor lies elsewhere than it should, at its right size and not past the end. */
function misplaced([{ header }, which, by]: [{ header: string }, number, number]) {
  const entries: [string, { data_offsets?: number[] }][] = Object.entries(JSON.parse(header));
  const entry = entries[which % Math.max(1, entries.length)]?.[1];
  const offsets = entry?.data_offsets;
  if (offsets) entry.data_offsets = offsets.map((offset) => Math.max(0, offset + by));
  const ends = entries.map(([, { data_offsets: [, end = 0] = [] }]) => end);
  return safetensorsBytes(Object.fromEntries(entries), Math.max(0, ...ends));
}

function fileOf(
  { header, data }: { header: string; data: Uint8Array<ArrayBuffer> },
): Uint8Array<ArrayBuffer> {
  return safetensorsBytes(header, data);
}

function withLength(
  generated: { header: string; data: Uint8Array<ArrayBuffer> },
  length: bigint,
): Uint8Array {
  const bytes = fileOf(generated);
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  return bytes;
}

function cut(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.slice(0, at % (bytes.length + 1));
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function outcomeOf<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch {
    return null;
  }
}
