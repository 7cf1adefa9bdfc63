import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTempDir } from "../media/with_temp_dir.ts";
import { makeClip } from "./make_clip.ts";
import { runCliIn } from "./run_cli.ts";

const CONFIG = fileURLToPath(new URL("../../deno.json", import.meta.url));
const NANO = fileURLToPath(new URL("../../weights/nano", import.meta.url));

Deno.test("relative paths count from the folder that a command is started in, and errors show them as given", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "frames");
    await makeClip(input, { width: 12, height: 11, count: 1 });
    const upscaled = await runCliIn(dir, "upscale", "-i", "frames", "--allow-cpu", "--tuning", "off");
    strictEqual(upscaled.code, 0, upscaled.stderr);
    const converted = await runCliIn(dir, "convert", "-m", NANO, "-o", "model");
    strictEqual(converted.code, 0, converted.stderr);
    const planned = await runCliIn(dir, "plan", "-i", "frames", "-m", "model", "--allow-cpu");
    strictEqual(planned.code, 0, planned.stderr);
    deepStrictEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), [
      "frames",
      "frames_upscaled",
      "model",
    ]);
    const missing = await runCliIn(input, "compare", "-i", "../none", "-r", ".");
    strictEqual(missing.code, 66);
    ok(missing.stderr.includes('"../none"'), missing.stderr);
    const gone = await runCliIn(join(dir, "gone"), "compare", "-i", "frames", "-r", "frames");
    strictEqual(gone.code, 66);
    ok(gone.stderr.includes('gone", where relative paths count from. Unset INIT_CWD'), gone.stderr);
  }));

Deno.test("Deno tells a task the folder that it is started in", () =>
  withTempDir(async (dir) => {
    await makeClip(join(dir, "frames"), { width: 12, height: 11, count: 1 });
    const { INIT_CWD: _, ...env } = Deno.env.toObject();
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "--config", CONFIG, "compare", "-i", "frames", "-r", "frames"],
      cwd: dir,
      clearEnv: true,
      env,
    }).output();
    strictEqual(code, 0);
    ok(new TextDecoder().decode(stdout).includes("infinite"));
  }));
