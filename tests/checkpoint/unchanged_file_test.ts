import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint/errors.ts";
import { UnchangedFile } from "../../src/checkpoint/unchanged_file.ts";
import { withFolder } from "./_safetensors_bytes.ts";

/** A file of the bytes 0 to 9, open. */
async function withFile(use: (file: UnchangedFile, path: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const path = `${folder}/x`;
    await Deno.writeFile(path, Uint8Array.from({ length: 10 }, (_, i) => i));
    using file = await UnchangedFile.open(path, "x");
    await use(file, path);
  });
}

const CHANGED = /^CheckpointError: Cannot read "x": it was changed while being read; run again when nothing/;

Deno.test("UnchangedFile.read() gives each range asked for at the same time its own bytes", async () => {
  await withFile(async (file) => {
    assert.equal(file.byteLength, 10);
    const ranges = [[4, 6], [0, 3], [9, 10], [5, 5]] as const;
    const read = await Promise.all(ranges.map(([begin, end]) => file.read(begin, end)));
    assert.deepEqual(read.map((bytes) => [...bytes]), [[4, 5], [0, 1, 2], [9], []]);
  });
});

Deno.test("UnchangedFile.read() notices a file that was cut, and reads on once it is whole", async () => {
  await withFile(async (file, path) => {
    const bytes = await Deno.readFile(path);
    const { mtime } = await Deno.stat(path);
    await Deno.truncate(path, 8);
    await assert.rejects(file.read(6, 10), CHANGED);
    await assert.rejects(file.read(0, 1), CHANGED);
    await Deno.writeFile(path, bytes);
    await Deno.utime(path, mtime!, mtime!);
    assert.deepEqual(await file.read(8, 10), Uint8Array.of(8, 9));
  });
});

Deno.test("UnchangedFile.read() notices a file that grew, and one written anew at the same size", async () => {
  await withFile(async (file, path) => {
    await Deno.writeFile(path, new Uint8Array(11));
    await assert.rejects(file.read(0, 1), CHANGED);
  });
  await withFile(async (file, path) => {
    await Deno.writeFile(path, new Uint8Array(10));
    await Deno.utime(path, new Date(), new Date("2001-02-03"));
    await assert.rejects(file.read(0, 1), (error) => error instanceof CheckpointError);
  });
});

Deno.test("UnchangedFile.read() goes on with the old file where another took its name", async () => {
  await withFile(async (file, path) => {
    await Deno.writeFile(`${path}.new`, new Uint8Array(3));
    await Deno.rename(`${path}.new`, path);
    assert.deepEqual(await file.read(1, 3), Uint8Array.of(1, 2));
  });
});
