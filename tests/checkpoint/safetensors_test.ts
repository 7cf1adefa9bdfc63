import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { SafetensorsFile } from "../../src/checkpoint/safetensors.ts";
import { safetensorsBytes, withFolder } from "./_safetensors_bytes.ts";

const ONE = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';

/** A file that claims a header of `length` bytes and goes on with `rest`. */
function withLength(length: bigint, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const file = new Uint8Array(8 + rest.length);
  new DataView(file.buffer).setBigUint64(0, length, true);
  file.set(rest, 8);
  return file;
}

function sharing(count: number): string {
  return `{${Array.from({ length: count }, (_, i) => `"t${i}":${ONE}`).join(",")}}`;
}

function entry(dtype: string, shape: string, offsets: string): string {
  return `{"t":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}}`;
}

async function opened(
  bytes: Uint8Array,
  use: (file: SafetensorsFile) => Promise<void> | void,
): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/x.safetensors`, bytes);
    using file = await SafetensorsFile.open(`${folder}/x.safetensors`, "x.safetensors");
    await use(file);
  });
}

const MALFORMED: readonly [name: string, file: Uint8Array, message: RegExp][] = [
  ["an empty file", new Uint8Array(0), /0 bytes, wanted at least 8/],
  ["7 bytes", new Uint8Array(7), /7 bytes, wanted at least 8/],
  ["no header at all", withLength(0n), /not valid JSON/],
  ["8 bytes < and zeros", withLength(60n), /header of 60 bytes in a file of 8 bytes/],
  [
    "a header length near 2^64",
    withLength(0xffffff000000003cn),
    /header of 18446742974197923900 bytes, wanted/,
  ],
  ["a header length of 100,000,001", withLength(100_000_001n), /wanted at most 16777216/],
  ["a header length of 2^53 + 1", withLength(2n ** 53n + 1n), /wanted at most 16777216/],
  [
    "a pointer of Git LFS",
    new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    /Git LFS left a pointer in its place, which "git lfs pull" replaces by the file; get the file again/,
  ],
  [
    "a header as long as the file",
    withLength(10n, new Uint8Array(2)),
    /header of 10 bytes in a file of 10 bytes/,
  ],
  ["a header length patched to 1000", withLength(1000n, new Uint8Array(100)), /in a file of 108 bytes/],
  ["byte 0xff", safetensorsBytes(Uint8Array.of(0xff)), /not UTF-8/],
  ["{ alone", safetensorsBytes("{"), /not valid JSON/],
  ["a trailing comma", safetensorsBytes(`{"t":${ONE},}`, 4), /not valid JSON/],
  ["an array", safetensorsBytes("[]"), /not a JSON object/],
  ["null", safetensorsBytes("null"), /not a JSON object/],
  ["a byte order mark", safetensorsBytes("\ufeff{}"), /not valid JSON/],
  [
    "10 tensors on one range",
    safetensorsBytes(sharing(10), 4),
    /"t1" begins at data byte 0, but the one before ends/,
  ],
  ["50,000 tensors on one range", safetensorsBytes(sharing(50_000), 4), /but the one before ends at 4/],
  ["100,000 tensors", safetensorsBytes(sharing(100_000), 4), /100000 tensors, wanted at most 65536/],
  [
    "a hole",
    safetensorsBytes(`{"a":${ONE},"b":${ONE.replace("[0,4]", "[8,12]")}}`, 12),
    /"b" begins at data byte 8/,
  ],
  ["a first tensor not at 0", safetensorsBytes(entry("F32", "[1]", "[4,8]"), 8), /begins at data byte 4/],
  ["an end before the begin", safetensorsBytes(entry("F32", "[1]", "[4,0]"), 4), /bytes 4 to 0/],
  [
    "a begin past the end of file",
    safetensorsBytes(entry("U8", "[1]", "[999,1000]"), 4),
    /begins at data byte 999/,
  ],
  [
    "extra bytes",
    safetensorsBytes(entry("F32", "[1]", "[0,4]"), 6),
    /end at byte \d+, but the file has \d+ bytes/,
  ],
  ["2 bytes missing", safetensorsBytes(entry("F32", "[1]", "[0,4]"), 2), /end at byte \d+, but the file has/],
  [
    "a size that does not fit",
    safetensorsBytes(entry("I32", "[2,2]", "[0,4]"), 4),
    /I32 \[2,2\] takes 16 bytes/,
  ],
  [
    "2^64 - 2 elements",
    safetensorsBytes(entry("U8", "[2,18446744073709551614]", "[0,4]"), 4),
    /list of sizes/,
  ],
  [
    "2^63 - 1 elements",
    safetensorsBytes(entry("U8", "[2,9223372036854775807]", "[0,4]"), 4),
    /list of sizes/,
  ],
  [
    "a product over 2^53",
    safetensorsBytes(entry("U8", "[4294967296,4294967296]", "[0,4]"), 4),
    /too large to count/,
  ],
  [
    "an overflow hidden by a zero",
    safetensorsBytes(entry("U8", "[9007199254740991,9,0]", "[0,0]")),
    /too large/,
  ],
  ["F4 with an odd count", safetensorsBytes(entry("F4", "[3]", "[0,2]"), 2), /whole bytes/],
  [
    "half a surrogate pair as name",
    safetensorsBytes(`{"\\ud800":${ONE}}`, 4),
    /key "\\ud800" is not Unicode/,
  ],
  ["a duplicate key", safetensorsBytes(`{"a":${ONE},"a":${ONE}}`, 4), /key "a" appears twice/],
  ["a duplicate in disguise", safetensorsBytes(`{"a":${ONE},"\\u0061":${ONE}}`, 4), /key "a" appears twice/],
  [
    "a duplicate inside",
    safetensorsBytes(`{"a":${ONE.replace("}", ',"shape":[1]}')}}`, 4),
    /"shape" appears twice/,
  ],
  ["the name __proto__", safetensorsBytes(`{"__proto__":${ONE}}`, 4), /name "__proto__" is not allowed/],
  [
    "the name constructor",
    safetensorsBytes(`{"constructor":${ONE}}`, 4),
    /name "constructor" is not allowed/,
  ],
  ["an empty name", safetensorsBytes(`{"":${ONE}}`, 4), /name "" is not allowed/],
  [
    "a name of 1 MB",
    safetensorsBytes(`{"${"n".repeat(2 ** 20)}":${ONE}}`, 4),
    /name "n{199}\.\.\. is not allowed/,
  ],
  ["size 1.0", safetensorsBytes(entry("U8", "[1.0]", "[0,1]"), 1), /1\.0 is not plain digits/],
  ["size 1e3", safetensorsBytes(entry("U8", "[1e3]", "[0,1000]"), 1000), /1e3 is not plain digits/],
  ["size -0", safetensorsBytes(entry("U8", "[-0]", "[0,0]")), /-0 is not plain digits/],
  ["size -1", safetensorsBytes(entry("U8", "[-1]", "[0,0]")), /-1 is not plain digits/],
  ["a size as text", safetensorsBytes(entry("U8", '["4"]', "[0,4]"), 4), /wanted a list of sizes/],
  ["one offset", safetensorsBytes(entry("U8", "[4]", "[4]"), 4), /wanted \[begin, end\]/],
  [
    "an entry without shape",
    safetensorsBytes('{"t":{"dtype":"U8","data_offsets":[0,1]}}', 1),
    /shape undefined/,
  ],
  ["an entry that is a list", safetensorsBytes('{"t":[]}'), /"t" is not an object/],
  ["an unknown key", safetensorsBytes(`{"t":${ONE.replace("}", ',"x":""}')}}`, 4), /unknown key "x"/],
  ["an unknown dtype", safetensorsBytes(entry("F31", "[1]", "[0,4]"), 4), /unknown dtype "F31"/],
  [
    "deep nesting",
    safetensorsBytes(`{"t":${"[".repeat(200_000)}${"]".repeat(200_000)}}`),
    /nested deeper than 32/,
  ],
  [
    "metadata that is no text",
    safetensorsBytes('{"__metadata__":{"n":1}}'),
    /__metadata__ is not an object of strings/,
  ],
  ["metadata that is no object", safetensorsBytes('{"__metadata__":"pt"}'), /__metadata__ is not an object/],
];

for (const [name, bytes, message] of MALFORMED) {
  Deno.test(`SafetensorsFile.open() refuses ${name}`, { sanitizeResources: true }, async () => {
    await assert.rejects(opened(bytes, () => {}), (error: Error) => {
      assert.ok(error instanceof CheckpointError, error.stack);
      assert.match(error.message, /^Cannot read "x\.safetensors" as safetensors: /);
      assert.match(error.message, message);
      assert.match(error.message, /; get the file again from the model's source$/);
      assert.ok(error.message.length < 1000);
      return true;
    });
  });
}

Deno.test("SafetensorsFile.open() refuses a header of 17 MB in a file that has as many", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/x.safetensors`;
    await Deno.writeFile(path, withLength(17_000_000n));
    await Deno.truncate(path, 17_000_008);
    await assert.rejects(SafetensorsFile.open(path), /header of 17000000 bytes, wanted at most 16777216/);
  });
});

Deno.test("SafetensorsFile.open() escapes names in errors", async () => {
  const bytes = safetensorsBytes(`{"\\u001b[2J\\u0000\\n\u009b\u202e":{"dtype":"?"}}`);
  await assert.rejects(opened(bytes, () => {}), (error: Error) => {
    assert.doesNotMatch(error.message, /[^\x20-\x7e]/);
    assert.ok(error.message.includes("\\u001b[2J\\u0000\\n\\u{9b}\\u{202e}"), error.message);
    return true;
  });
});

Deno.test("SafetensorsFile.open() escapes the name of a file that is not there, and keeps the cause", async () => {
  await assert.rejects(SafetensorsFile.open("no/such/\u001bfile"), (error: Error) => {
    assert.match(error.message, /^Cannot read "no\/such\/\\u\{1b\}file": .*\\u\{1b\}file'$/);
    assert.ok(error.cause instanceof Deno.errors.NotFound);
    return true;
  });
});

Deno.test("SafetensorsFile.open() takes padding, metadata, scalars, empty tensors and any order", async () => {
  await opened(safetensorsBytes("\n {}\r \t\n"), (file) => assert.equal(file.tensors.size, 0));
  const header = {
    __metadata__: { format: "pt" },
    b: { dtype: "F32", shape: [2], data_offsets: [4, 12] },
    scalar: { dtype: "F32", shape: [], data_offsets: [0, 4] },
    none: { dtype: "F32", shape: [2, 0], data_offsets: [0, 0] },
    f6: { dtype: "F6_E2M3", shape: [4], data_offsets: [12, 15] },
  };
  const data = new Uint8Array(15);
  data.set(new Uint8Array(Float32Array.of(1, -2, 3).buffer));
  data.set([7, 8, 9], 12);
  await opened(safetensorsBytes(header, data), async (file) => {
    assert.deepEqual([...file.tensors.keys()], ["b", "scalar", "none", "f6"]);
    assert.deepEqual(file.tensors.get("b")!.shape, [2]);
    // Asked for at the same time: each must still get its own range.
    const [b, scalar, none, f6] = await Promise.all([
      file.read("b"),
      file.read("scalar"),
      file.read("none"),
      file.readBytes("f6"),
    ]);
    assert.deepEqual(b, Float32Array.of(-2, 3));
    assert.deepEqual(scalar, Float32Array.of(1));
    assert.deepEqual(none, new Float32Array(0));
    assert.deepEqual(f6, Uint8Array.of(7, 8, 9));
  });
});

/** A file with one tensor `t` whose elements have these bit patterns. */
function halves(dtype: "F16" | "BF16", bits: readonly number[]): Uint8Array<ArrayBuffer> {
  const header = { t: { dtype, shape: [bits.length], data_offsets: [0, 2 * bits.length] } };
  return safetensorsBytes(header, Uint16Array.from(bits));
}

Deno.test("SafetensorsFile.read() converts every finite F16 exactly", async () => {
  const bits = Array.from({ length: 65_536 }, (_, i) => i).filter((i) => (i & 0x7c00) !== 0x7c00);
  await opened(halves("F16", bits), async (file) => {
    const data = await file.read("t");
    assert.equal(data.length, bits.length);
    for (const [i, half] of bits.entries()) {
      const exponent = (half >> 10) & 31;
      const fraction = half & 1023;
      const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
      const expected = half & 0x8000 ? -magnitude : magnitude;
      if (!Object.is(data[i], expected)) {
        assert.fail(`0x${half.toString(16)} became ${data[i]}, wanted ${expected}`);
      }
    }
  });
});

Deno.test("SafetensorsFile.read() converts BF16 exactly, subnormals and -0 too", async () => {
  await opened(halves("BF16", [0x3f80, 0x8000, 0x0001, 0x807f, 0x7f7f, 0x4049]), async (file) => {
    const expected = [1, -0, 2 ** -133, -127 * 2 ** -133, 255 * 2 ** 120, 3.140625];
    assert.deepEqual([...await file.read("t")], expected);
  });
});

for (
  const [name, bytes, message] of [
    ["infinity in F16", halves("F16", [0, 0x7c00]), /element 1 is Infinity/],
    ["NaN in F16", halves("F16", [0x7e00]), /element 0 is NaN/],
    ["-infinity in BF16", halves("BF16", [0, 0, 0xff80]), /element 2 is -Infinity/],
    [
      "NaN in F32",
      safetensorsBytes(entry("F32", "[2]", "[0,8]"), Float32Array.of(1, NaN)),
      /element 1 is NaN/,
    ],
    ["I64", safetensorsBytes(entry("I64", "[1]", "[0,8]"), 8), /type I64, wanted F32, F16 or BF16/],
    ["F64", safetensorsBytes(entry("F64", "[1]", "[0,8]"), 8), /type F64, wanted F32, F16 or BF16/],
  ] as const
) {
  Deno.test(`SafetensorsFile.read() refuses ${name} and names the tensor`, async () => {
    await opened(bytes, async (file) => {
      await assert.rejects(file.read("t"), (error: Error) => {
        assert.ok(error instanceof CheckpointError);
        assert.match(error.message, /^Cannot read tensor "t" of "x\.safetensors": /);
        assert.match(error.message, message);
        return true;
      });
    });
  });
}

Deno.test("SafetensorsFile.read() refuses a name the file lacks", async () => {
  await opened(safetensorsBytes("{}"), async (file) => {
    await assert.rejects(file.read("t"), /"t" of "x\.safetensors": there is none of that name/);
  });
});
