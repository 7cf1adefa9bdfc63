import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { removeTemporaries, writeFileAtomically } from "../../src/media/write_file_atomically.ts";
import { observeWrites } from "../../src/media/write_observer.ts";
import { withTempDir } from "./with_temp_dir.ts";

const OLD = Uint8Array.of(1, 2);
const NEW = Uint8Array.of(3, 4, 5);

Deno.test("writeFileAtomically() replaces a file and leaves nothing else", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "a.png");
    await Deno.writeFile(path, OLD);
    await writeFileAtomically(path, NEW);
    deepStrictEqual([...await Deno.readFile(path)], [...NEW]);
    deepStrictEqual(list(dir), ["a.png"]);
  }));

Deno.test("writeFileAtomically() removes its temporary file when it fails", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "a\x1b.png");
    await Deno.mkdir(path);
    await rejects(writeFileAtomically(path, NEW), (error: Error) => {
      strictEqual(error.cause instanceof Error, true);
      return error.message.startsWith(`Cannot write "${join(dir, "a\\u{1b}.png")}": `);
    });
    deepStrictEqual(list(dir), ["a\x1b.png"]);
  }));

Deno.test("writeFileAtomically() names the file when the folder is missing", () =>
  withTempDir(async (dir) => {
    await rejects(writeFileAtomically(join(dir, "none", "a.png"), NEW), {
      message: /^Cannot write ".*a\.png": /,
    });
    deepStrictEqual(list(dir), []);
  }));

Deno.test("writeFileAtomically() replaces a temporary file of a killed run and follows no link in its place", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "a.png");
    const victim = join(dir, "victim");
    await Deno.writeFile(victim, OLD);
    await Deno.symlink(victim, join(dir, `.a.png.tmp-${Deno.pid}`));
    await writeFileAtomically(path, NEW);
    deepStrictEqual([...await Deno.readFile(victim)], [...OLD]);
    deepStrictEqual([...await Deno.readFile(path)], [...NEW]);
    deepStrictEqual(list(dir), ["a.png", "victim"]);
  }));

Deno.test("writeFileAtomically() writes pieces one after the other, and passes these points", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "a.png"), points: string[] = [];
    await Deno.writeFile(path, OLD);
    const contents = () => Deno.readFileSync(path).join();
    observeWrites((point, file) => points.push(`${point} ${file === path} ${contents()}`));
    try {
      await writeFileAtomically(path, ReadableStream.from([NEW, OLD, new Uint8Array(0)]));
    } finally {
      observeWrites(null);
    }
    deepStrictEqual(points, [
      "begin true 1,2",
      "written true 1,2",
      "synced true 1,2",
      "renamed true 3,4,5,1,2",
    ]);
  }));

Deno.test("writeFileAtomically() keeps the old file when a piece fails to come, with the reason as cause", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "a.png"), reason = new Error("no more");
    await Deno.writeFile(path, OLD);
    async function* pieces() {
      yield NEW;
      throw reason;
    }
    await rejects(writeFileAtomically(path, pieces()), (error: Error) => error.cause === reason);
    deepStrictEqual([...await Deno.readFile(path)], [...OLD]);
    deepStrictEqual(list(dir), ["a.png"]);
  }));

Deno.test("removeTemporaries() removes what killed runs left of the named files only", () =>
  withTempDir(async (dir) => {
    const left = [".a.png.tmp-1", ".a.png.tmp-987654", ".b.png.tmp-1"];
    const others = [".a.png.tmp-", ".a.png.tmp-1x", "a.png.tmp-1", ".a.png", "a.png"];
    for (const name of [...left, ...others]) await Deno.writeFile(join(dir, name), OLD);
    await Deno.mkdir(join(dir, ".a.png.tmp-2"));
    await removeTemporaries(dir, (name) => name === "a.png");
    deepStrictEqual(list(dir), [...others, ".a.png.tmp-2", ".b.png.tmp-1"].sort());
  }));

function list(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}
