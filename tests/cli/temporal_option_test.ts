import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { withTempDir } from "../media/with_temp_dir.ts";
import { withX4 } from "../vsr/_x4_folder.ts";
import { copyModel } from "./edited_model.ts";
import { makeClip } from "./make_clip.ts";
import { runCli } from "./run_cli.ts";

Deno.test("upscale, plan and convert use the module of --temporal, also through a link, and refuse other folders", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in"), temporal = join(dir, "module"), link = join(dir, "link");
    await makeClip(input, { width: 16, height: 12, count: 2 });
    const model = await copyModel(join(dir, "model"));
    await Deno.rename(join(model, "dgafnet"), temporal);
    await Deno.symlink(temporal, link);
    async function upscaled(...args: string[]): Promise<Uint8Array> {
      const output = await Deno.makeTempDir({ dir });
      const { code, stderr } = await runCli("upscale", "-i", input, "-o", output, "--allow-cpu", ...args);
      strictEqual(code, 0, stderr);
      return await Deno.readFile(join(output, "frame_0002.png"));
    }
    const bundled = await upscaled();
    deepStrictEqual(await upscaled("-m", model, "--temporal", link), bundled);
    notDeepStrictEqual(await upscaled("-m", model), bundled);

    const whole = join(dir, "whole");
    const converted = await runCli("convert", "-m", model, "--temporal", link, "-o", whole);
    strictEqual(converted.code, 0, converted.stderr);
    deepStrictEqual(
      await Deno.readFile(join(whole, "dgafnet/config.json")),
      await Deno.readFile(join(temporal, "config.json")),
    );

    const flags = ["-i", input, "--allow-cpu", "-m", model, "--temporal"];
    const planned = await runCli("plan", ...flags, temporal);
    strictEqual(planned.code, 0, planned.stderr);
    ok(/^GPU memory +flow +sample +decode$/m.test(planned.stdout), planned.stdout);
    for (const command of [["plan"], ["upscale", "-o", join(dir, "refused")]]) {
      const other = await runCli(...command, ...flags, join(model, "unet"));
      strictEqual(other.code, 65);
      ok(
        other.stderr.includes('_class_name is "UNet2DConditionModel", wanted "DGAFNetModel" or'),
        other.stderr,
      );
      const none = await runCli(...command, ...flags, join(dir, "none"));
      strictEqual(none.code, 69);
      ok(none.stderr.includes('Cannot open temporal module "'), none.stderr);
    }
  }));

Deno.test("upscale and plan take --noise-level for a model with levels, up to its largest, and for no other", () =>
  withX4((model) =>
    withTempDir(async (dir) => {
      const input = join(dir, "in");
      await makeClip(input, { width: 8, height: 8, count: 1 });
      const flags = ["-i", input, "--allow-cpu", "--noise-level"];
      const json = ["-o", join(dir, "out"), "--progress", "json", "-m", model];
      const { code, stderr } = await runCli("upscale", ...flags, "50", ...json);
      strictEqual(code, 0, stderr);
      const job = stderr.split("\n").find((line) => line.includes('"event":"job"'));
      strictEqual(JSON.parse(job!).noise_level, 50);
      strictEqual((await runCli("plan", ...flags, "50", "-m", model)).code, 0);
      for (const command of [["plan"], ["upscale", "-o", join(dir, "refused")]]) {
        const large = await runCli(...command, ...flags, "51", "-m", model);
        strictEqual(large.code, 64);
        ok(
          large.stderr.includes("Cannot use noise level 51: an integer from 0 to 50 is wanted"),
          large.stderr,
        );
        const nano = await runCli(...command, ...flags, "20");
        strictEqual(nano.code, 64);
        ok(nano.stderr.includes("Cannot use noise level 20: this model has no classes"), nano.stderr);
      }
    })
  ));
