import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { observeWrites } from "../../src/media/write_observer.ts";
import { HashList } from "../../src/vsr/hash_list.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

const A = "a".repeat(64), B = "b".repeat(64);

Deno.test("HashList keeps names and hashes, the last line of a name counts", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "list");
    const names = ["x.png", "flows/1", "../フ レ.png", "new\nline", "back\\slash\r", " blank "];
    {
      using list = await HashList.open(path);
      strictEqual(list.get("x.png"), undefined);
      for (const name of names) await list.add(name, A);
      await list.add("x.png", B);
      strictEqual(list.get("x.png"), B);
    }
    using list = await HashList.open(path);
    deepStrictEqual(names.map((name) => list.get(name)), [B, A, A, A, A, A]);
  }));

Deno.test("HashList writes the format of sha256sum", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "list");
    using list = await HashList.open(path);
    await list.add("x.png", A);
    await list.add("new\nline", B);
    strictEqual(await Deno.readTextFile(path), `${A}  x.png\n\\${B}  new\\nline\n`);
  }));

Deno.test("HashList.open() cuts off every unfinished last line, so that the next one is whole", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "list");
    const first = `${A}  x.png\n`, second = `${B}  y.png\n`;
    for (let length = 0; length < second.length; length++) {
      await Deno.writeTextFile(path, first + second.slice(0, length));
      using list = await HashList.open(path);
      deepStrictEqual([list.get("x.png"), list.get("y.png")], [A, undefined]);
      await list.add("y.png", A);
      strictEqual(await Deno.readTextFile(path), `${first}${A}  y.png\n`);
    }
  }));

Deno.test("HashList.open() passes over lines that are no entries", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "list");
    await Deno.writeTextFile(path, `${A} x.png\n\n${A.slice(1)}  y.png\n${B}  z.png\n\x00\xff\n`);
    using list = await HashList.open(path);
    deepStrictEqual(["x.png", "y.png", "z.png"].map((name) => list.get(name)), [undefined, undefined, B]);
  }));

Deno.test("HashList.add() leaves the list as it was when it fails", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "list");
    using list = await HashList.open(path);
    await list.add("x.png", A);
    const reason = new Error("disk full");
    observeWrites((point) => {
      if (point === "written") throw reason;
    });
    try {
      await rejects(list.add("y.png", B), (error) => error === reason);
    } finally {
      observeWrites(null);
    }
    strictEqual(list.get("y.png"), undefined);
    await list.add("z.png", B);
    strictEqual(await Deno.readTextFile(path), `${A}  x.png\n${B}  z.png\n`);
  }));
