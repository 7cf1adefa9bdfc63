import { strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { encodePng } from "../../src/media/png.ts";
import { pngFileProblem } from "../../src/media/png_file_problem.ts";
import { withTempDir } from "./with_temp_dir.ts";

const SIZE = { width: 5, height: 3 };
const WHOLE = encodePng({ ...SIZE, bitDepth: 8, data: new Uint8Array(45).fill(7) });

/** A copy of the file with one byte changed. */
function damaged(at: number): Uint8Array {
  const bytes = WHOLE.slice();
  bytes[at]! ^= 1;
  return bytes;
}

for (
  const [name, bytes, expected] of [
    ["a whole file", WHOLE, null],
    ["a file cut off by one byte", WHOLE.subarray(0, -1), "it does not end as a PNG"],
    ["a file with bytes after its end", Uint8Array.of(...WHOLE, 0), "it does not end as a PNG"],
    ["another signature", damaged(0), "it does not begin as a PNG"],
    ["another width", damaged(19), "its size is 4 x 3, wanted 5 x 3"],
    ["another height", damaged(23), "its size is 5 x 2, wanted 5 x 3"],
    ["a damaged end", damaged(WHOLE.length - 1), "it does not end as a PNG"],
    ["an empty file", new Uint8Array(), "it has 0 bytes, too few for a PNG"],
    ["35 bytes", WHOLE.subarray(0, 35), "it has 35 bytes, too few for a PNG"],
  ] as const
) {
  Deno.test(`pngFileProblem() looks at both ends: ${name}`, () =>
    withTempDir(async (dir) => {
      const path = join(dir, "a.png");
      await Deno.writeFile(path, bytes);
      strictEqual(await pngFileProblem(path, SIZE), expected);
    }));
}

Deno.test("pngFileProblem() tells of a file that is missing", () =>
  withTempDir(async (dir) => {
    strictEqual(await pngFileProblem(join(dir, "a.png"), SIZE), "it is missing");
  }));
