import encodeJpeg from "@jsquash/jpeg/encode.js";
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Frame } from "../../src/media/frame.ts";
import {
  type FrameFolderError,
  inspectFrames,
  listFrames,
  readFrame,
  writeFrame,
} from "../../src/media/frame_folder.ts";
import { decodePng, encodePng } from "../../src/media/png.ts";
import { withTempDir } from "./with_temp_dir.ts";

const FRAME: Frame = { width: 2, height: 1, bitDepth: 8, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
const PNG = encodePng(FRAME);
const OTHER_SIZE = encodePng({ width: 1, height: 2, bitDepth: 8, data: new Uint8Array(6) });
const JPEG = new Uint8Array(await encodeJpeg(new ImageData(2, 1)));

Deno.test("listFrames() gives pictures in natural order and counts what it ignores", () =>
  withTempDir(async (dir) => {
    await fill(dir, {
      "frame_10.png": PNG,
      "frame_2.PNG": JPEG,
      "frame_1.jpeg": PNG,
      ".hidden.png": PNG,
      "notes.txt": PNG,
    });
    const { files, ignored } = await listFrames(dir);
    deepStrictEqual(files, [
      { path: join(dir, "frame_1.jpeg"), stem: "frame_1", format: "png" },
      { path: join(dir, "frame_2.PNG"), stem: "frame_2", format: "jpeg" },
      { path: join(dir, "frame_10.png"), stem: "frame_10", format: "png" },
    ]);
    strictEqual(ignored, 2);
  }));

Deno.test("listFrames() takes a single picture whatever its name", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "still.v2.bin": PNG });
    const path = join(dir, "still.v2.bin");
    deepStrictEqual(await listFrames(path), {
      files: [{ path, stem: "still.v2", format: "png" }],
      ignored: 0,
    });
  }));

Deno.test("listFrames() says no_input for a path that does not exist and for a folder without pictures", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "notes.txt": PNG });
    const missing = await failureOf(listFrames(join(dir, "no\nne")));
    strictEqual(missing.code, "no_input");
    ok(missing.message.includes("no\\u{a}ne"), missing.message);
    const empty = await failureOf(listFrames(dir));
    strictEqual(empty.code, "no_input");
    deepStrictEqual(empty.problems, [
      `Cannot read frames from "${dir}": folder has no pictures and 1 other entries`,
    ]);
    strictEqual((await failureOf(inspectFrames([]))).code, "no_input");
  }));

Deno.test("inspectFrames() gives the common size and counts pictures with alpha", () =>
  withTempDir(async (dir) => {
    const suite = new URL("./pngsuite/", import.meta.url);
    await fill(dir, {
      "1.png": Deno.readFileSync(new URL("basn6a08.png", suite)),
      "2.png": Deno.readFileSync(new URL("basn2c16.png", suite)),
    });
    deepStrictEqual(await inspectFrames((await listFrames(dir)).files), {
      width: 32,
      height: 32,
      alphaDropped: 1,
    });
  }));

Deno.test("inspectFrames() accepts one size in several formats", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.png": PNG, "2.jpg": JPEG });
    deepStrictEqual(await inspectFrames((await listFrames(dir)).files), {
      width: 2,
      height: 1,
      alphaDropped: 0,
    });
  }));

Deno.test("inspectFrames() reads on where metadata pushes the header far back", () =>
  withTempDir(async (dir) => {
    const segment = [0xff, 0xe1, 0xff, 0xfd, ...Array<number>(65531).fill(0)];
    const bytes = [...JPEG.subarray(0, 2), ...segment, ...segment, ...JPEG.subarray(2)];
    await fill(dir, { "1.jpg": Uint8Array.from(bytes) });
    deepStrictEqual(await inspectFrames((await listFrames(dir)).files), {
      width: 2,
      height: 1,
      alphaDropped: 0,
    });
  }));

Deno.test("inspectFrames() lists all problems at once", () =>
  withTempDir(async (dir) => {
    const corrupt = PNG.slice();
    corrupt[20]! ^= 1;
    await fill(dir, {
      "1.png": PNG,
      "2.png": PNG,
      "3.png": OTHER_SIZE,
      "4.png": corrupt,
      "5.png": new TextEncoder().encode("no picture"),
      "6.png": new Uint8Array(0),
      "\x1b[31m.png": PNG,
      "A.jpg": JPEG,
      "a.png": PNG,
    });
    await Deno.mkdir(join(dir, "7.png"));
    await Deno.symlink(join(dir, "nowhere"), join(dir, "8.png"));
    await Deno.symlink(join(dir, "9.png"), join(dir, "9.png"));
    await fill(dir, { "\x1b[31m.jpg": OTHER_SIZE });
    const { files } = await listFrames(dir);
    const failure = await failureOf(inspectFrames(files));
    strictEqual(failure.name, "FrameFolderError");
    strictEqual(failure.code, "bad_input");
    const at = (name: string) => `"${join(dir, name)}": `;
    deepStrictEqual(failure.problems.toSpliced(5, 1), [
      `Cannot decode PNG ${at("4.png")}CRC of IHDR at byte 8 is wrong`,
      `Cannot decode picture ${at("5.png")}content is neither PNG, JPEG nor WebP`,
      `Cannot decode picture ${at("6.png")}content is neither PNG, JPEG nor WebP`,
      `Cannot decode picture ${at("7.png")}it is a folder, wanted a regular file`,
      `Cannot read ${at("8.png")}it does not exist or is a link to nothing`,
      `Cannot use ${at("3.png")}size is 1 x 2, wanted 2 x 1 as in 5 of 7 frames`,
      `Cannot use ${at("\\u{1b}[31m.jpg")}size is 1 x 2, wanted 2 x 1 as in 5 of 7 frames`,
      `Cannot use ${at("\\u{1b}[31m.png")}its output would replace that of "\\u{1b}[31m.jpg"`,
      `Cannot use ${at("a.png")}its output would replace that of "A.jpg"`,
    ]);
    // The words for a link to itself are the system's.
    ok(failure.problems[5]!.startsWith(`Cannot read ${at("9.png")}`), failure.problems[5]);
    for (const problem of failure.problems) ok(failure.message.includes(problem));
  }));

Deno.test("inspectFrames() and readFrame() do not wait on a named pipe", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "1.png");
    strictEqual(new Deno.Command("mkfifo", { args: [path] }).outputSync().code, 0);
    const { files } = await listFrames(dir);
    const wanted = [`Cannot decode picture "${path}": it is a named pipe, wanted a regular file`];
    deepStrictEqual((await failureOf(inspectFrames(files))).problems, wanted);
    deepStrictEqual((await failureOf(readFrame(files[0]!))).problems, wanted);
  }));

Deno.test("inspectFrames() refuses a file that is too large for any picture without reading it", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.png": PNG });
    await Deno.truncate(join(dir, "1.png"), 2 ** 30 + 1);
    const { problems } = await failureOf(inspectFrames((await listFrames(dir)).files));
    strictEqual(problems.length, 1);
    ok(problems[0]!.endsWith("file has 1073741825 bytes, wanted at most 1073741824"), problems[0]);
  }));

const READABLE = fileURLToPath(new URL("./pngsuite/basn2c08.png", import.meta.url));
const FORBIDDEN = fileURLToPath(new URL("./pngsuite/basn0g08.png", import.meta.url));

Deno.test({
  name: "inspectFrames() names a file that it has no permission to read",
  permissions: { read: [READABLE] },
  async fn() {
    const files = [READABLE, FORBIDDEN].map((path) => ({ path, stem: path, format: undefined }));
    const { code, problems } = await failureOf(inspectFrames(files));
    strictEqual(code, "bad_input");
    deepStrictEqual(problems, [`Cannot read "${FORBIDDEN}": permission to read it is missing`]);
    strictEqual((await failureOf(listFrames(FORBIDDEN))).code, "bad_input");
  },
});

Deno.test("readFrame() decodes by content", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.webp": PNG });
    const { files } = await listFrames(dir);
    deepStrictEqual((await readFrame(files[0]!)).data, FRAME.data);
  }));

Deno.test("readFrame() throws FrameFolderError for a file that has got damaged since", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.png": PNG });
    const { files } = await listFrames(dir);
    await inspectFrames(files);
    await fill(dir, { "1.png": PNG.subarray(0, -4) });
    const { code, problems, cause } = await failureOf(readFrame(files[0]!));
    strictEqual(code, "bad_input");
    ok(/^Cannot decode PNG ".*1\.png": IEND at byte \d+ has 0 bytes/.test(problems[0]!), problems[0]);
    ok(cause instanceof SyntaxError);
  }));

Deno.test("writeFrame() writes a PNG and nothing else", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "1.png");
    await writeFrame(path, FRAME);
    deepStrictEqual(await decodePng(await Deno.readFile(path), path), FRAME);
    strictEqual([...Deno.readDirSync(dir)].length, 1);
    await rejects(writeFrame(path, { ...FRAME, height: 3 }), { name: "RangeError" });
    deepStrictEqual(await decodePng(await Deno.readFile(path), path), FRAME);
  }));

async function fill(dir: string, files: Record<string, Uint8Array>): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(join(dir, name), bytes);
}

async function failureOf(promise: Promise<unknown>): Promise<FrameFolderError> {
  const error = await promise.then(() => undefined, (error: FrameFolderError) => error);
  ok(error !== undefined, "nothing was thrown");
  return error;
}
