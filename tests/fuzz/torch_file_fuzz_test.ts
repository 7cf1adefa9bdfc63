import fc from "fast-check";
import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { TorchFile } from "../../src/checkpoint/torch_file.ts";
import { isWeightDType } from "../../src/checkpoint/weight_dtype.ts";
import { ZipFile } from "../../src/checkpoint/zip_file.ts";
import { type Entries, pickleBytes, zipBytes } from "../checkpoint/_torch_bytes.ts";
import { byteChanges, changeBytes } from "./_byte_changes.ts";
import { CountingSource } from "./_counting_source.ts";
import { assertPrintable, fuzzTest, reasonOf } from "./_fuzz.ts";

const REASONS = {
  "no archive": /wanted a ZIP archive|does not end as a ZIP archive|before PyTorch 1\.6/,
  "a broken directory": /its (ZIP64 )?directory |a name that is not UTF-8|it has a size of/,
  "an entry that cannot be used":
    /is compressed or encrypted|has two sizes|lies outside the file|it has entry .* twice/,
  "an entry elsewhere": /does not lie where the directory says/,
  "a wrong checksum": /does not fit its checksum/,
  "no pickle or several": /entries FOLDER\/data\.pkl/,
  "big-endian numbers": /little-endian|byteorder" has no bytes/,
  "an opcode": /opcode 0x\w\w at byte \d+ is not allowed/,
  "a global": /it asks for ".*", which is not allowed|names a global at length/,
  "another protocol": /pickle protocol \d+, wanted 2/,
  "a pickle cut short": /the pickle ends too early/,
  "values out of place":
    /takes a value where|takes values from a mark|keeps a value|recalls a value|leaves something over|calls something/,
  "text that is not UTF-8": /text that is not UTF-8/,
  "a dict misused": /no dict|a key that is no text|it has key .* twice|makes an OrderedDict/,
  "a number too large": /a number (of \d+ bytes|over 2\^53)/,
  "a persistent id": /a persistent id that is no storage/,
  "a tensor's arguments": /a tensor with other arguments/,
  "a view outside its storage": /does not lie in its storage/,
  "a storage that is missing or of another size": /it has no storage|storage ".*" has \d+ bytes, wanted/,
  "no tensors": /holds no tensors by name|is no tensor/,
};

const FIXTURES = new URL("../checkpoint/fixtures/", import.meta.url).pathname;
const files = ["float32", "float16", "bfloat16", "views"].map((name) =>
  Deno.readFileSync(`${FIXTURES}${name}.pth`)
);
const archives = await Promise.all(files.map(entriesOf));
/** Pieces of pickles that do something. */
const SNIPPETS = [
  ...[
    "cos\nsystem\n",
    "c__builtin__\neval\n",
    "ccollections\nOrderedDict\n",
    "ctorch._utils\n_rebuild_tensor_v2\n",
  ],
  ...[
    "ctorch\nLongStorage\n",
    ")R",
    "t",
    "Q",
    "(",
    "u",
    "s",
    "b",
    "}",
    ")",
    "0",
    "2",
    ".",
    "h\0",
    "q\0",
    "N",
    "]",
    "e",
  ],
].map((text) => new TextEncoder().encode(text));

/** A tensor whose view may or may not fit its storage. */
const pickled = fc.record({
  storage: fc.constantFrom("0", "1", "../0"),
  type: fc.constantFrom("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage"),
  length: fc.constantFrom(0, 4, 8, 16, 2 ** 30, -1),
  begin: fc.integer({ min: -1, max: 4 }),
  shape: fc.array(fc.constantFrom(0, 1, 2, 3, 2 ** 31 - 1), { maxLength: 3 }),
  strides: fc.array(fc.constantFrom(0, 1, 2, 3, 4, 2 ** 31 - 1), { maxLength: 3 }),
});
const DATA = { "a/data/0": new Uint8Array(32).fill(0x3c), "a/data/1": new Uint8Array(16) };

const hostile = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom(...files), byteChanges(3)).map(([file, c]) => changeBytes(file, c)),
  },
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom(...archives), byteChanges(2)).map(([entries, c]) =>
      withPickle(entries, (pickle) => changeBytes(pickle, c))
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom(...archives), fc.nat(), fc.constantFrom(...SNIPPETS)).map((
      [entries, at, snippet],
    ) => withPickle(entries, (pickle) => inserted(pickle, { at: at % pickle.length, snippet }))),
  },
  {
    weight: 4,
    arbitrary: fc.dictionary(fc.constantFrom("a", "b\u001b[2J", "c"), pickled, { maxKeys: 2 }).map((
      tensors,
    ) => zipBytes({ "a/data.pkl": pickleBytes(tensors), ...DATA })),
  },
);

fuzzTest("TorchFile reads of 10,000 mutated files no more than they have, or refuses them", {
  count: 10_000,
  cases: hostile,
  run: async (bytes) => {
    const source = new CountingSource(bytes);
    let file: TorchFile;
    try {
      file = await TorchFile.from(source, "x");
    } catch (error) {
      assertRefusal(
        error,
        /^Cannot read "x" as PyTorch's tensors: .+; save its state_dict\(\) with torch\.save/,
      );
      assert.ok(source.bytesRead <= 2 * bytes.length + 100);
      return reasonOf((error as Error).message, REASONS);
    }
    for (const [name, { dtype, shape }] of file.tensors) {
      const elements = shape.reduce((product, size) => product * size, 1);
      assert.ok(elements <= bytes.length, `${elements} elements in ${bytes.length} bytes`);
      try {
        assert.equal((await file.read(name)).length, elements);
        assert.ok(isWeightDType(dtype));
      } catch (error) {
        assertRefusal(error, /^Cannot read tensor ".*" of "x": /);
      }
    }
    return "accepted";
  },
});

function assertRefusal(error: unknown, message: RegExp): void {
  assert.ok(error instanceof CheckpointError, (error as Error).stack);
  assert.match(error.message, message);
  assertPrintable(error.message);
  assert.ok(error.message.length < 1500, error.message);
}

/** What an archive has, read by the program itself, to be put together anew with another pickle. */
async function entriesOf(bytes: Uint8Array<ArrayBuffer>): Promise<Entries> {
  const zip = await ZipFile.open(new CountingSource(bytes));
  const entries: Record<string, Uint8Array> = {};
  for (const name of zip.entries.keys()) entries[name] = await zip.read(name);
  return entries;
}

function withPickle(entries: Entries, change: (pickle: Uint8Array) => Uint8Array): Uint8Array<ArrayBuffer> {
  const name = Object.keys(entries).find((name) => name.endsWith("/data.pkl"))!;
  return zipBytes({ ...entries, [name]: change(entries[name]!) });
}

function inserted(
  pickle: Uint8Array,
  { at, snippet }: { readonly at: number; readonly snippet: Uint8Array },
): Uint8Array {
  return Uint8Array.from([...pickle.subarray(0, at), ...snippet, ...pickle.subarray(at)]);
}
