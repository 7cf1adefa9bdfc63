import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { writeFileAtomically } from "../../src/media/write_file_atomically.ts";
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

function list(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}
