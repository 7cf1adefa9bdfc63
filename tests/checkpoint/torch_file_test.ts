import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { TorchFile } from "../../src/checkpoint/torch_file.ts";
import { CountingSource } from "../fuzz/_counting_source.ts";
import { ascii, pickleBytes, type PickledTensor, zipBytes } from "./_torch_bytes.ts";

const FIXTURES = new URL("fixtures/", import.meta.url).pathname;
const ONE: PickledTensor = { storage: "0", length: 1, shape: [1], strides: [1] };
const DATA = new Uint8Array(Float32Array.of(0.5).buffer);

for (const [name, dtype] of [["float32", "F32"], ["float16", "F16"], ["bfloat16", "BF16"]] as const) {
  Deno.test(`TorchFile reads what torch.save made of a state dict in ${name}`, async () => {
    using file = await TorchFile.open(`${FIXTURES}${name}.pth`);
    const shapes = [...file.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]);
    const floats = [
      "conv.weight",
      "conv.bias",
      "norm.weight",
      "norm.bias",
      "norm.running_mean",
      "norm.running_var",
    ];
    assert.deepEqual(shapes, [
      ["conv.weight", dtype, [3, 2, 1, 2]],
      ...floats.slice(1).map((name) => [name, dtype, [3]]),
      ["norm.num_batches_tracked", "I64", []],
    ]);
    for (const [n, name] of floats.entries()) {
      const data = await file.read(name);
      assert.equal(data.length, n === 0 ? 12 : 3);
      assert.deepEqual([...data], Array.from(data, (_, i) => i / 8 - 1 - n));
    }
    await assert.rejects(
      file.read("norm.num_batches_tracked"),
      /^CheckpointError: Cannot read tensor "norm\.num_batches_tracked" of ".*": type I64, wanted F32, F16 or BF16; conv/,
    );
  });
}

Deno.test("TorchFile reads tensors that share a storage, in any order of their elements", async () => {
  using file = await TorchFile.open(`${FIXTURES}views.pth`);
  const all = Array.from({ length: 24 }, (_, i) => i);
  const permuted = all.map((i) => 12 * (Math.floor(i / 3) % 2) + 4 * (i % 3) + Math.floor(i / 6));
  const expected = {
    base: [[2, 3, 4], all],
    transposed: [[4, 2, 3], permuted],
    part: [[2, 2], [17, 18, 21, 22]],
    every_other: [[12], all.filter((i) => i % 2 === 1)],
    scalar: [[], [23]],
    empty: [[0, 3, 4], []],
  };
  assert.deepEqual([...file.tensors.keys()], Object.keys(expected));
  for (const [name, [shape, values]] of Object.entries(expected)) {
    assert.deepEqual(file.tensors.get(name)!.shape, shape, name);
    assert.deepEqual([...await file.read(name)], values, name);
  }
});

Deno.test("TorchFile.open() says what to do with a file from before PyTorch 1.6", async () => {
  await assert.rejects(TorchFile.open(`${FIXTURES}legacy.pth`, "legacy.pth"), (error: Error) => {
    assert.ok(error instanceof CheckpointError);
    assert.equal(
      error.message,
      'Cannot read "legacy.pth" as PyTorch\'s tensors: it has the format from before PyTorch 1.6; save its ' +
        "state_dict() with torch.save again, or get the file again from its source",
    );
    return true;
  });
});

/** A file of one tensor "t", differing from a good one by `changes`. */
function withTensor(changes: Partial<PickledTensor>): Uint8Array {
  return zipBytes({ "a/data.pkl": pickleBytes({ t: { ...ONE, ...changes } }), "a/data/0": DATA });
}

/** A file whose pickle is `body`, in ASCII, after the protocol. */
function withPickle(body: string): Uint8Array {
  return withOps(...ascii(body));
}

/** A file whose pickle is these bytes after the protocol. */
function withOps(...body: readonly number[]): Uint8Array {
  return zipBytes({ "a/data.pkl": Uint8Array.of(0x80, 2, ...body), "a/data/0": DATA });
}

const GOOD = { "a/data.pkl": pickleBytes({ t: ONE }), "a/data/0": DATA };

const MALFORMED: readonly [name: string, file: Uint8Array, message: RegExp][] = [
  ["an empty file", new Uint8Array(0), /0 bytes, wanted a ZIP archive/],
  ["no archive", new Uint8Array(100), /does not end as a ZIP archive/],
  ["a comment", zipBytes(GOOD, { comment: "x" }), /does not end as a ZIP archive without a comment/],
  ["a compressed entry", zipBytes(GOOD, { method: 8 }), /entry "a\/data\/0" is compressed or encrypted/],
  ["an encrypted entry", zipBytes(GOOD, { flags: 1 }), /compressed or encrypted/],
  ["an entry with two sizes", zipBytes(GOOD, { storedSize: 3 }), /entry "a\/data\/0" has two sizes/],
  ["an entry past the end", zipBytes(GOOD, { offset: 2 ** 31 }), /entry "a\/data\/0" lies outside the file/],
  ["an entry too many", zipBytes(GOOD, { count: 3 }), /directory has 2 entries, wanted 3/],
  ["an extra field without offset", zipBytes(GOOD, { inExtra: 2 }), /directory lacks a ZIP64 size/],
  ["an archive without pickle", zipBytes({ "a/data/0": DATA }), /0 entries FOLDER\/data\.pkl, wanted one/],
  ["two pickles", zipBytes({ ...GOOD, "b/data.pkl": DATA }), /2 entries FOLDER\/data\.pkl, wanted one/],
  ["a pickle over 1 MiB", zipBytes({ "a/data.pkl": new Uint8Array(2 ** 20 + 1) }), /pickle of 1048577 bytes/],
  [
    "a damaged pickle",
    zipBytes({ "a/data.pkl": GOOD["a/data.pkl"] }, { crc: 1 }),
    /does not fit its checksum/,
  ],
  ["big-endian numbers", zipBytes({ ...GOOD, "a/byteorder": ascii("big   ") }), /not in little-endian order/],
  ["a missing storage", withTensor({ storage: "../0" }), /it has no storage "\.\.\/0"/],
  ["a storage of another size", withTensor({ length: 2 }), /storage "0" has 4 bytes, wanted 8/],
  ["a type of another size", withTensor({ type: "HalfStorage" }), /storage "0" has 4 bytes, wanted 2/],
  [
    "a type that is not allowed",
    withTensor({ type: "DoubleStorage" }),
    /asks for "torch\.DoubleStorage", which/,
  ],
  ["a view past the end", withTensor({ begin: 1 }), /shape \[1\] does not lie in its storage of 1 elements/],
  ["a stride past the end", withTensor({ shape: [2], strides: [1] }), /does not lie in its storage/],
  [
    "more elements than are stored",
    withTensor({ shape: [2 ** 30], strides: [0] }),
    /does not lie in its storage/,
  ],
  ["a negative size", withTensor({ shape: [-1] }), /a tensor with other arguments/],
  ["a negative offset", withTensor({ begin: -1 }), /a tensor with other arguments/],
  ["fewer strides than sizes", withTensor({ strides: [] }), /a tensor with other arguments/],
  ["nine axes", withTensor({ shape: Array(9).fill(1), strides: Array(9).fill(1) }), /other arguments/],
  ["a call to the system", withPickle("cos\nsystem\n)R."), /asks for "os\.system", which is not/],
  ["a builtin", withPickle("c__builtin__\neval\n)R."), /asks for "__builtin__\.eval", which is not allowed/],
  ["an escape in a name", withPickle("c\x1b[2J\nx\n."), /asks for "\\u001b\[2J\.x", which is not/],
  ["another function of torch", withPickle("ctorch\nload\n."), /asks for "torch\.load", which/],
  ["an instance (opcode i)", withPickle("(ios\nsystem\n."), /opcode 0x69 at byte 3 is not allowed/],
  ["an object (opcode o)", withPickle("(o."), /opcode 0x6f at byte 3 is not allowed/],
  ["a new object", withOps(0x29, 0x81, 0x2e), /opcode 0x81 at byte 3 is not allowed/],
  ["a call of a class", withPickle("ctorch\nFloatStorage\n)R."), /calls something that is no function/],
  [
    "a filled OrderedDict",
    withPickle("ccollections\nOrderedDict\n(NtR."),
    /makes an OrderedDict from something/,
  ],
  ["a list", withPickle("]."), /opcode 0x5d at byte 2 is not allowed/],
  ["a number", withPickle("K\x01."), /holds no tensors by name/],
  ["a dict of numbers", withPickle("}X\x01\0\0\0aK\x01s."), /"a" is no tensor/],
  ["a key twice", withPickle("}X\x01\0\0\0aNsX\x01\0\0\0aNs."), /it has key "a" twice/],
  ["a key that is no text", withPickle("}NNs."), /a dict with a key that is no text/],
  ["attributes of a number", withPickle("K\x01}b."), /sets attributes of something that is no dict/],
  ["items in a number", withPickle("K\x01NNs."), /puts items into something that is no dict/],
  ["something left over", withPickle("NN."), /leaves something over/],
  ["nothing at all", withPickle("."), /takes a value where there is none/],
  ["a mark as value", withPickle("(."), /takes a value where there is none/],
  ["no mark", withPickle("Nt."), /from a mark where there is none/],
  ["a memo never kept", withPickle("h\x07."), /recalls a value that was not kept/],
  ["a mark kept", withPickle("(q\0."), /keeps a value where there is none/],
  ["a persistent id of text", withPickle("X\0\0\0\0Q."), /a persistent id that is no storage/],
  ["text past the end", withPickle("X\x7f\x7f\x7f\x7fa."), /the pickle ends too early/],
  ["no end", withPickle("N"), /the pickle ends too early/],
  ["a global without end", withPickle(`c${"n".repeat(300)}\nx\n.`), /names a global at length/],
  [
    "protocol 4",
    zipBytes({ "a/data.pkl": Uint8Array.of(0x80, 4, 0x4e, 0x2e) }),
    /pickle protocol 4, wanted 2/,
  ],
  ["a number over 2^53", withOps(0x8a, 8, ...Array(8).fill(0x7f), 0x2e), /a number over 2\^53/],
  ["a number of 9 bytes", withOps(0x8a, 9, ...Array(9).fill(0), 0x2e), /a number of 9 bytes/],
];

for (const [name, bytes, message] of MALFORMED) {
  Deno.test(`TorchFile refuses ${name}`, async () => {
    await assert.rejects(TorchFile.from(new CountingSource(bytes), "x"), (error: Error) => {
      assert.ok(error instanceof CheckpointError, error.stack);
      assert.match(
        error.message,
        /^Cannot read "x" as PyTorch's tensors: .*; save its state_dict\(\) with torch\.save/,
      );
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("TorchFile.read() refuses damaged data, NaN and unknown names", async () => {
  const damaged = await TorchFile.from(new CountingSource(zipBytes(GOOD, { crc: 1 })), "x");
  await assert.rejects(
    damaged.read("t"),
    /Cannot read tensor "t" of "x": entry "a\/data\/0" does not fit its check/,
  );
  await assert.rejects(damaged.read("u"), /Cannot read tensor "u" of "x": there is none of that name/);
  const nan = zipBytes({ ...GOOD, "a/data/0": new Uint8Array(Float32Array.of(NaN).buffer) });
  await assert.rejects(
    (await TorchFile.from(new CountingSource(nan), "x")).read("t"),
    /element 0 is NaN, wanted/,
  );
  const misplaced = await TorchFile.from(new CountingSource(zipBytes(GOOD, { offset: 1 })), "x");
  await assert.rejects(misplaced.read("t"), /"a\/data\/0" does not lie where the directory says; save its/);
});

Deno.test("TorchFile reads an archive whose sizes stand in ZIP64 extra fields", async () => {
  const file = await TorchFile.from(new CountingSource(zipBytes(GOOD, { inExtra: 3 })), "x");
  assert.deepEqual([...await file.read("t")], [0.5]);
});

Deno.test("TorchFile reads nothing but directory and pickle before a tensor is asked for", async () => {
  const data = new Uint8Array(2 ** 20);
  const shape = [data.length / 4];
  const pickle = pickleBytes({ t: { storage: "0", length: shape[0]!, shape, strides: [1] } });
  const source = new CountingSource(zipBytes({ "a/data.pkl": pickle, "a/data/0": data }));
  const file = await TorchFile.from(source, "x");
  assert.ok(source.bytesRead < 1000, `${source.bytesRead}`);
  assert.deepEqual(await file.read("t"), new Float32Array(shape[0]!));
});
