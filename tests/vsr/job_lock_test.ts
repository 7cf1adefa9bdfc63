import { ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { JobLock } from "../../src/vsr/job_lock.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

const HOLDER = fileURLToPath(new URL("_hold_lock.ts", import.meta.url));

Deno.test("JobLock.take() lets one in at a time, in one process too", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "job", "lock");
    {
      using lock = await JobLock.take(path);
      ok(lock);
      strictEqual(await JobLock.take(path), null);
    }
    using again = await JobLock.take(path);
    ok(again);
  }));

Deno.test("JobLock.take() keeps out while another process holds the lock, and not after that was killed", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "lock");
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", `--allow-read=${dir}`, `--allow-write=${dir}`, HOLDER, path],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    strictEqual(new TextDecoder().decode((await reader.read()).value), "held\n");
    strictEqual(await JobLock.take(path), null);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    using lock = await JobLock.take(path);
    ok(lock);
  }));

Deno.test("JobLock.take() is not content with a lock on a file that was removed", () =>
  withTempDir(async (dir) => {
    const path = join(dir, "lock");
    const { open } = Deno;
    let opened = 0;
    Deno.open = async (...args) => {
      const file = await open(...args);
      if (++opened === 1) await Deno.remove(path);
      return file;
    };
    try {
      using lock = await JobLock.take(path);
      ok(lock);
      strictEqual(opened, 2);
    } finally {
      Deno.open = open;
    }
    strictEqual((await Deno.lstat(path)).isFile, true);
  }));
