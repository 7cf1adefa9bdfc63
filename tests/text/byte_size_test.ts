import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { formatByteSize, parseByteSize } from "../../src/text/byte_size.ts";

Deno.test("parseByteSize() reads decimal and binary units in any case, with and without a space", () => {
  const sizes = ["3GB", "2.5GiB", "800MB", "800 mb", "1kb", "1 KiB", "12", "7 B", "0.5TiB", "1.5tb"];
  deepStrictEqual(sizes.map(parseByteSize), [
    3e9,
    2.5 * 2 ** 30,
    8e8,
    8e8,
    1e3,
    1024,
    12,
    7,
    2 ** 39,
    1.5e12,
  ]);
});

Deno.test("parseByteSize() refuses what is no size, zero, and numbers too large to count", () => {
  const bad = [
    "",
    "GB",
    "-1GB",
    "1e9",
    "3XB",
    "3 G B",
    "0",
    "0GB",
    "0.1B",
    "1,5GB",
    "Infinity",
    "9999999999TB",
    " 3GB",
  ];
  deepStrictEqual(bad.map(parseByteSize), bad.map(() => undefined));
});

Deno.test("formatByteSize() gives three digits and never less than there is", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [1001, "1.01 kB"],
    [12_345, "12.4 kB"],
    [123_456, "124 kB"],
    [81_500_000, "81.5 MB"],
    [1_930_000_001, "1.94 GB"],
    [5e9, "5 GB"],
    [123e9, "123 GB"],
  ];
  for (const [bytes, text] of cases) strictEqual(formatByteSize(bytes), text);
});

Deno.test("formatByteSize() prints what parseByteSize() reads back as enough", () => {
  for (let bytes = 1; bytes < 1e13; bytes = Math.ceil(bytes * 1.37)) {
    const read = parseByteSize(formatByteSize(bytes))!;
    strictEqual(read >= bytes && read <= 1.011 * bytes + 1, true, `${bytes} became ${read}`);
  }
});
