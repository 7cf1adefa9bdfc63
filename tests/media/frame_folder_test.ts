import encodeJpeg from "@jsquash/jpeg/encode.js";
import { deepStrictEqual, fail, ok, strictEqual } from "node:assert/strict";
import { basename, join, parse } from "node:path";
import { fileURLToPath } from "node:url";
import type { Frame } from "../../src/media/frame.ts";
import { FrameFolderError, inspectFrames, listFrames, readFrame } from "../../src/media/frame_folder.ts";
import { encodePng } from "../../src/media/png.ts";
import { writeFileAtomically } from "../../src/media/write_file_atomically.ts";
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
    const missing = await failureOf(() => listFrames(join(dir, "no\nne")));
    strictEqual(missing.code, "no_input");
    ok(missing.message.includes("no\\u{a}ne"), missing.message);
    const empty = await failureOf(() => listFrames(dir));
    strictEqual(empty.code, "no_input");
    deepStrictEqual(empty.problems, [
      `Cannot read frames from "${dir}": folder has no pictures and 1 other entries`,
    ]);
    strictEqual((await failureOf(() => inspectFrames([]))).code, "no_input");
  }));

Deno.test("inspectFrames() gives the common size and counts pictures with alpha", () =>
  withTempDir(async (dir) => {
    const suite = new URL("./pngsuite/", import.meta.url);
    await fill(dir, {
      "1.png": Deno.readFileSync(new URL("basn6a08.png", suite)),
      "2.png": Deno.readFileSync(new URL("basn2c16.png", suite)),
    });
    deepStrictEqual(inspectFrames((await listFrames(dir)).files), {
      width: 32,
      height: 32,
      bitDepths: [8, 16],
      alphaDropped: 1,
    });
  }));

Deno.test("inspectFrames() accepts one size in several formats", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.png": PNG, "2.jpg": JPEG });
    deepStrictEqual(inspectFrames((await listFrames(dir)).files), {
      width: 2,
      height: 1,
      bitDepths: [8, 8],
      alphaDropped: 0,
    });
  }));

Deno.test("inspectFrames() reads on where metadata pushes the header far back", () =>
  withTempDir(async (dir) => {
    const segment = [0xff, 0xe1, 0xff, 0xfd, ...Array<number>(65531).fill(0)];
    const bytes = [...JPEG.subarray(0, 2), ...segment, ...segment, ...JPEG.subarray(2)];
    await fill(dir, { "1.jpg": Uint8Array.from(bytes) });
    deepStrictEqual(inspectFrames((await listFrames(dir)).files), {
      width: 2,
      height: 1,
      bitDepths: [8],
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
    const failure = await failureOf(() => inspectFrames(files));
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
    deepStrictEqual((await failureOf(() => inspectFrames(files))).problems, wanted);
    deepStrictEqual((await failureOf(() => readFrame(files[0]!))).problems, wanted);
  }));

Deno.test("inspectFrames() refuses a file that is too large for any picture without reading it", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.png": PNG });
    await Deno.truncate(join(dir, "1.png"), 2 ** 30 + 1);
    const { files } = await listFrames(dir);
    const { problems } = await failureOf(() => inspectFrames(files));
    strictEqual(problems.length, 1);
    ok(problems[0]!.endsWith("file has 1073741825 bytes, wanted at most 1073741824"), problems[0]);
  }));

Deno.test("inspectFrames() and readFrame() refuse a file that is written to while being read", () =>
  withTempDir(async (dir) => {
    await fill(dir, { "1.png": PNG });
    const { files } = await listFrames(dir);
    const { path } = files[0]!;
    const { readSync } = Deno.FsFile.prototype;
    // Somebody appends whenever something has been read.
    Deno.FsFile.prototype.readSync = function (buffer) {
      const count = readSync.call(this, buffer);
      Deno.writeFileSync(path, new Uint8Array(1), { append: true });
      return count;
    };
    const wanted = [
      `Cannot decode picture "${path}": it was changed while being read; run again when nothing writes to it`,
    ];
    try {
      deepStrictEqual((await failureOf(() => inspectFrames(files))).problems, wanted);
      deepStrictEqual((await failureOf(() => readFrame(files[0]!))).problems, wanted);
      strictEqual(Deno.statSync(path).size, PNG.length + 2);
    } finally {
      Deno.FsFile.prototype.readSync = readSync;
    }
    strictEqual(inspectFrames(files).width, 2);
  }));

Deno.test("inspectFrames() says so when a name is not valid UTF-8", () =>
  withTempDir(async (dir) => {
    const script = `printf x > "$(printf 'a\\377.png')"`;
    strictEqual(new Deno.Command("sh", { args: ["-c", script], cwd: dir }).outputSync().code, 0);
    const { files } = await listFrames(dir);
    const { problems } = await failureOf(() => inspectFrames(files));
    deepStrictEqual(problems, [`Cannot read "${join(dir, "a\ufffd.png")}": its name is not valid UTF-8`]);
  }));

Deno.test("inspectFrames() takes names that differ only in Unicode composition for one output", async () => {
  const files = ["e\u0301.png", "\u00e9.png"].map((path) => ({
    path,
    stem: parse(path).name,
    format: undefined,
  }));
  const { problems } = await failureOf(() => inspectFrames(files));
  strictEqual(problems.at(-1), 'Cannot use "\u00e9.png": its output would replace that of "e\u0301.png"');
});

Deno.test("inspectFrames() refuses a name that leaves no room for what outputs are called", () =>
  withTempDir(async (dir) => {
    const [long, longest] = ["é".repeat(110), "é".repeat(110) + "a"].map((stem) => join(dir, `${stem}.png`));
    await fill(dir, { [basename(long!)]: PNG, [basename(longest!)]: PNG });
    const { files } = await listFrames(dir);
    const { problems } = await failureOf(() => inspectFrames(files));
    const reason = "its name without extension has 221 bytes, wanted at most 220";
    deepStrictEqual(problems, [`Cannot use "${longest}": ${reason}`]);
    await writeFileAtomically(long!, PNG);
  }));

Deno.test("inspectFrames() spells out 100 problems and counts the others", () =>
  withTempDir(async (dir) => {
    await fill(
      dir,
      Object.fromEntries(Array.from({ length: 103 }, (_, i) => [`${i}.png`, new Uint8Array(1)])),
    );
    const { files } = await listFrames(dir);
    const { message, problems } = await failureOf(() => inspectFrames(files));
    strictEqual(problems.length, 103);
    const lines = message.split("\n");
    strictEqual(lines.length, 102);
    deepStrictEqual(lines.slice(-3), [
      `Cannot decode picture "${join(dir, "99.png")}": content is neither PNG, JPEG nor WebP`,
      "and 3 more of the like",
      "Repair, rename or remove what is named above",
    ]);
  }));

Deno.test("listFrames() and inspectFrames() take 100,001 frames", () =>
  withTempDir(async (dir) => {
    // File systems limit the links to one file.
    for (let i = 0; i < 10; i++) await fill(dir, { [`${i}.png`]: PNG });
    for (let i = 10; i <= 100_000; i++) Deno.linkSync(join(dir, `${i % 10}.png`), join(dir, `${i}.png`));
    const { files } = await listFrames(dir);
    deepStrictEqual(files.map(({ stem }) => Number(stem)), Array.from({ length: 100_001 }, (_, i) => i));
    const { width, height, bitDepths } = inspectFrames(files);
    deepStrictEqual([width, height, bitDepths.length], [2, 1, 100_001]);
  }));

const READABLE = fileURLToPath(new URL("./pngsuite/basn2c08.png", import.meta.url));
const FORBIDDEN = fileURLToPath(new URL("./pngsuite/basn0g08.png", import.meta.url));

Deno.test({
  name: "inspectFrames() names a file that it has no permission to read",
  permissions: { read: [READABLE] },
  async fn() {
    const files = [READABLE, FORBIDDEN].map((path) => ({ path, stem: path, format: undefined }));
    const { code, problems } = await failureOf(() => inspectFrames(files));
    strictEqual(code, "bad_input");
    deepStrictEqual(problems, [`Cannot read "${FORBIDDEN}": permission to read it is missing`]);
    strictEqual((await failureOf(() => listFrames(FORBIDDEN))).code, "bad_input");
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
    inspectFrames(files);
    await fill(dir, { "1.png": PNG.subarray(0, -4) });
    const { code, problems, cause } = await failureOf(() => readFrame(files[0]!));
    strictEqual(code, "bad_input");
    ok(/^Cannot decode PNG ".*1\.png": IEND at byte \d+ has 0 bytes/.test(problems[0]!), problems[0]);
    ok(cause instanceof SyntaxError);
  }));

async function fill(dir: string, files: Record<string, Uint8Array>): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(join(dir, name), bytes);
}

async function failureOf(use: () => unknown): Promise<FrameFolderError> {
  try {
    await use();
  } catch (error) {
    ok(error instanceof FrameFolderError, String(error));
    return error;
  }
  return fail("nothing was thrown");
}
