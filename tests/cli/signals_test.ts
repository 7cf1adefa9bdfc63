import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { withTempDir } from "../media/with_temp_dir.ts";
import { writeFrame } from "../media/write_frame.ts";
import { interruptCli } from "./run_cli.ts";

for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`${signal} ends upscale with ${exitCode} after the work at hand, and names what continues`, () =>
    withTempDir(async (dir) => {
      const { args, output } = await makeJob(dir, { side: 16, steps: 500 });
      const { code, stdout, stderr } = await interruptCli(args, { signal, trigger: '"stage":"sample"' });
      strictEqual(code, exitCode, stderr);
      strictEqual(stdout, "");
      const events = stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
      deepStrictEqual(events.find(({ event }) => event === "warning"), {
        event: "warning",
        message: `Stopped by ${signal}: finishing the work at hand; a second signal ends it at once`,
      });
      deepStrictEqual(events.at(-1), {
        event: "error",
        exit_code: exitCode,
        message:
          `Stopped by ${signal}: 0 of 1 frame written to ${output}. Run the same command again to go on`,
      });
    }));

  Deno.test(`${signal} after another signal ends upscale at once with ${exitCode}, also while it waits for the GPU`, () =>
    withTempDir(async (dir) => {
      const { args } = await makeJob(dir, { side: 512, steps: 1 });
      const { code, stderr, endedInMs } = await interruptCli(args, {
        signal: "SIGTERM",
        trigger: '"stage":"sample"',
        delayMs: 500,
        again: { signal, delayMs: 50 },
      });
      strictEqual(code, exitCode, stderr);
      ok(endedInMs < 1000, `ended after ${endedInMs} ms`);
      ok(!stderr.includes('"frame"'), stderr);
    }));
}

/** A job of one picture, its settings chosen to leave time for signals. */
async function makeJob(
  dir: string,
  { side, steps }: { readonly side: number; readonly steps: number },
): Promise<{ args: string[]; output: string }> {
  const input = join(dir, "frame.png"), output = join(dir, "out");
  const data = Uint8Array.from({ length: side * side * 3 }, (_, k) => 128 + 100 * Math.sin(0.1 * k));
  await writeFrame(input, { width: side, height: side, bitDepth: 8, data });
  const flags = ["--allow-cpu", "--progress", "json", "--steps", `${steps}`];
  return { args: ["upscale", "-i", input, "-o", output, ...flags], output };
}
