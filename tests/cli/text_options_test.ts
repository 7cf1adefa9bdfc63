import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { withTempDir } from "../media/with_temp_dir.ts";
import { withEncoderInstead } from "../vsr/_text_encoder_folder.ts";
import { makeClip } from "./make_clip.ts";
import { runCli } from "./run_cli.ts";

const LONG = `${"word ".repeat(75)}of a cat`;
const TEXT = ["--prompt", LONG, "--negative-prompt", "dog", "--guidance-scale", "3"];

Deno.test("upscale and plan take prompts and a guidance scale, and say what of a prompt is left out", () =>
  withEncoderInstead((model) =>
    withTempDir(async (dir) => {
      const input = join(dir, "in"), output = join(dir, "out");
      await makeClip(input, { width: 8, height: 6, count: 1 });
      const args = ["-i", input, "-m", model, "--allow-cpu", ...TEXT];
      const { code, stderr } = await runCli("upscale", "-o", output, "--progress", "json", ...args);
      strictEqual(code, 0, stderr);
      const events = stderr.trim().split("\n").map((line) => JSON.parse(line));
      const { prompt, negative_prompt, guidance_scale } = events.find(({ event }) => event === "job");
      deepStrictEqual([prompt, negative_prompt, guidance_scale], [LONG, "dog", 3]);
      const warnings = events.filter(({ event }) => event === "warning").map(({ message }) => message);
      deepStrictEqual(warnings, [
        'the text encoder has no room for the end of a prompt, which is left out: "of a cat"',
      ]);
      const finished = events.filter(({ event, done, total }) => event === "progress" && done === total);
      deepStrictEqual(finished.map(({ stage, total }) => [stage, total]), [
        ["text", 2],
        ["sample", 1],
        ["decode", 1],
      ]);

      const planned = await runCli("plan", ...args);
      strictEqual(planned.code, 0, planned.stderr);
      match(planned.stdout, /^GPU memory +text +sample +decode$/m);
      match(planned.stdout, /^Time +about \d+:\d\d: text \d+:\d\d, sample \d+:\d\d, decode \d+:\d\d$/m);
    })
  ));

for (
  const [flags, exit, message] of [
    [["--prompt", "a cat"], 69, 'Cannot use prompt "a cat": model "'],
    [
      ["--negative-prompt", "a dog"],
      64,
      'Cannot use negative prompt "a dog": with guidance scale 1 it would not count; a guidance scale above 1',
    ],
  ] as const
) {
  Deno.test(`upscale and plan with the bundled model refuse ${flags.join(" ")}`, () =>
    withTempDir(async (dir) => {
      const input = join(dir, "in");
      await makeClip(input, { width: 8, height: 6, count: 1 });
      for (const command of [["plan"], ["upscale", "-o", join(dir, "out")]]) {
        const { code, stderr } = await runCli(...command, "-i", input, "--allow-cpu", ...flags);
        strictEqual(code, exit, stderr);
        ok(stderr.includes(message), stderr);
      }
    }));
}
