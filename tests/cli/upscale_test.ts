import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Frame } from "../../src/media/frame.ts";
import { listFrames, readFrame } from "../../src/media/frame_folder.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { copyModel, editHeader, fillTensor } from "./edited_model.ts";
import { makeClip } from "./make_clip.ts";
import { interruptCli, runCli } from "./run_cli.ts";

const SUITE = fileURLToPath(new URL("../media/pngsuite", import.meta.url));

Deno.test("upscale writes a clip next to the input, reports on stderr only, and needs --overwrite to do it again", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "フレーム 1");
    await makeClip(input, { width: 20, height: 14, count: 2 });
    await Deno.writeTextFile(join(input, "notes.txt"), "");
    const { code, stdout, stderr } = await runCli("upscale", "-i", input, "--allow-cpu");
    strictEqual(code, 0, stderr);
    strictEqual(stdout, "");
    const lines = stderr.split("\n");
    ok(
      /^Adapter: .+, .+ \((default of this platform|DENO_WEBGPU_BACKEND)\), (soft|hard)ware adapter$/.test(
        lines[0]!,
      ),
      lines[0],
    );
    strictEqual(lines[1], "Model: nano, 2 frames, 20 x 14 to 80 x 56, 1 step, seed 42");
    strictEqual(lines[2], "Warning: ignored 1 of 3 folder entries: hidden, or no extension of a picture");
    const output = `${input}_upscaled`;
    ok(
      /^Wrote 2 frames in \d+\.\d s to /.test(lines.at(-2)!) && lines.at(-2)!.endsWith(output),
      lines.at(-2),
    );
    const first = await readClip(output);
    deepStrictEqual(first.map(([name, { width, height, bitDepth }]) => [name, width, height, bitDepth]), [
      ["frame_0001.png", 80, 56, 8],
      ["frame_0002.png", 80, 56, 8],
    ]);

    const again = await runCli("upscale", "-i", input, "--allow-cpu");
    strictEqual(again.code, 73);
    ok(again.stderr.includes(`frame_0001.png" and 1 more: it exists. Pass --overwrite`), again.stderr);

    const replaced = await runCli("upscale", "-i", input, "--allow_cpu", "-y", "-q", "--seed", "7");
    strictEqual(replaced.code, 0);
    strictEqual(replaced.stderr, "");
    const second = await readClip(output);
    deepStrictEqual(second.map(([name]) => name), first.map(([name]) => name));
    for (const [i, [, { data }]] of second.entries()) notDeepStrictEqual(data, first[i]![1].data);
  }));

Deno.test("upscale takes one picture of odd size and reports in JSON", () =>
  withTempDir(async (dir) => {
    await makeClip(dir, { width: 61, height: 47, count: 1 });
    const output = join(dir, "out");
    const input = join(dir, "frame_0001.png");
    const { code, stdout, stderr } = await runCli(
      ...[
        "upscale",
        "-i",
        input,
        "-o",
        output,
        "--allow-cpu",
        "--progress",
        "json",
        "--steps",
        "2",
        "--scheduler",
        "ddim",
      ],
    );
    strictEqual(code, 0, stderr);
    strictEqual(stdout, "");
    const events = stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
    strictEqual(events[0].event, "adapter");
    deepStrictEqual(events[1], {
      event: "job",
      model: "nano",
      frames: 1,
      width: 61,
      height: 47,
      output_width: 244,
      output_height: 188,
      steps: 2,
      scheduler: "ddim",
      seed: 42,
      conditioning_scale: 0.5,
      noise_level: null,
      prompt: "",
      negative_prompt: "",
      guidance_scale: 1,
    });
    const finished = events.filter(({ event, done, total }) => event === "progress" && done === total);
    deepStrictEqual(finished.map(({ stage, total }) => [stage, total]), [["sample", 2], ["decode", 1]]);
    deepStrictEqual(events.at(-2), { event: "frame", path: join(output, "frame_0001.png") });
    strictEqual(events.at(-1).event, "done");
    const [[, frame]] = await readClip(output) as [[string, Frame]];
    deepStrictEqual([frame.width, frame.height], [244, 188]);
  }));

Deno.test("upscale keeps each frame's bit depth, takes grey, and says that transparency is dropped", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in");
    await Deno.mkdir(input);
    const names = ["basn0g08.png", "basn2c16.png", "basn6a08.png"];
    for (const name of names) await Deno.copyFile(join(SUITE, name), join(input, name));
    const { code, stderr } = await runCli("upscale", "-i", input, "-o", join(dir, "out"), "--allow-cpu");
    strictEqual(code, 0, stderr);
    ok(stderr.includes("Warning: transparency is dropped in 1 of 3 frames\n"), stderr);
    const clip = await readClip(join(dir, "out"));
    deepStrictEqual(clip.map(([name, { width, bitDepth }]) => [name, width, bitDepth]), [
      ["basn0g08.png", 128, 8],
      ["basn2c16.png", 128, 16],
      ["basn6a08.png", 128, 8],
    ]);
    const deep = clip[1]![1].data;
    ok(deep.some((value) => value % 257 !== 0), "16 bits hold no more than 8 do");
  }));

Deno.test("upscale refuses a software adapter without --allow-cpu, and an adapter that --device does not name", () =>
  withTempDir(async (dir) => {
    await makeClip(join(dir, "in"), { width: 8, height: 8, count: 1 });
    const args = ["upscale", "-i", join(dir, "in")];
    const named = await runCli(...args, "--allow-cpu", "--device", "no such card");
    strictEqual(named.code, 69);
    ok(named.stderr.includes('Cannot use device "no such card"'), named.stderr);
    const info = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))!.info;
    const plain = await runCli(...args);
    strictEqual(plain.code, info.isFallbackAdapter ? 69 : 0);
    strictEqual(plain.stderr.includes("Pass --allow-cpu"), info.isFallbackAdapter);
  }));

Deno.test("upscale names what is wrong with the input before any work", () =>
  withTempDir(async (dir) => {
    const missing = await runCli("upscale", "-i", join(dir, "none"));
    strictEqual(missing.code, 66);
    ok(
      missing.stderr.startsWith(`Error: Cannot read "${join(dir, "none")}": it does not exist`),
      missing.stderr,
    );

    await Deno.mkdir(join(dir, "empty"));
    const empty = await runCli("upscale", "-i", join(dir, "empty"));
    strictEqual(empty.code, 66);
    ok(empty.stderr.includes("folder has no pictures and 0 other entries"), empty.stderr);

    const mixed = join(dir, "mixed");
    await makeClip(mixed, { width: 8, height: 8, count: 2 });
    await makeClip(join(dir, "wide"), { width: 9, height: 8, count: 1 });
    await Deno.rename(join(dir, "wide", "frame_0001.png"), join(mixed, "frame_0003.png"));
    await Deno.writeTextFile(join(mixed, "frame_0004.png"), "no picture");
    const { code, stdout, stderr } = await runCli("upscale", "-i", mixed);
    strictEqual(code, 65);
    strictEqual(stdout, "");
    ok(/frame_0003\.png": size is 9 x 8, wanted 8 x 8 as in 2 of 3 frames/.test(stderr), stderr);
    ok(/frame_0004\.png": content is neither PNG, JPEG nor WebP/.test(stderr), stderr);
    strictEqual(await names(dir), "empty mixed wide");
  }));

Deno.test("upscale writes nothing when a frame's pixels are corrupt", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in");
    await makeClip(input, { width: 20, height: 14, count: 2 });
    const path = join(input, "frame_0002.png");
    const bytes = await Deno.readFile(path);
    bytes[60]! ^= 1;
    await Deno.writeFile(path, bytes);
    const { code, stderr } = await runCli("upscale", "-i", input, "-o", join(dir, "out"), "--allow-cpu");
    strictEqual(code, 65);
    ok(/Error: Cannot decode PNG ".*frame_0002\.png": CRC of IDAT/.test(stderr), stderr);
    strictEqual(await names(join(dir, "out")), "");
  }));

Deno.test("upscale refuses an output that is the input folder, a file, or inside a file", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in");
    await makeClip(input, { width: 8, height: 8, count: 1 });
    const picture = join(input, "frame_0001.png");
    const before = await Deno.readFile(picture);
    await Deno.symlink(input, join(dir, "link"));
    for (const output of [input, join(dir, "link"), picture, join(picture, "out")]) {
      const { code, stderr } = await runCli("upscale", "-i", input, "-o", output, "--allow-cpu", "-y");
      strictEqual(code, 73, stderr);
      ok(stderr.includes(`Cannot write to folder "${output}": `), stderr);
      ok(stderr.includes("Choose another one with --output"), stderr);
    }
    deepStrictEqual(await Deno.readFile(picture), before);
    strictEqual(await names(input), "frame_0001.png");
  }));

Deno.test("upscale stops on SIGINT with complete frames only", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in"), output = join(dir, "out");
    await makeClip(input, { width: 61, height: 47, count: 5 });
    const json = ["upscale", "-i", input, "-o", output, "--allow-cpu", "--progress", "json"];
    const stopped = await interruptCli(json, { signal: "SIGINT", trigger: '"event":"frame"' });
    strictEqual(stopped.code, 130, stopped.stderr);
    const { event, exit_code, message } = JSON.parse(stopped.stderr.trimEnd().split("\n").at(-1)!);
    deepStrictEqual([event, exit_code], ["error", 130]);
    const clip = await readClip(output);
    ok(clip.length >= 1 && clip.length < 5, `${clip.length} frames`);
    strictEqual(
      message,
      `Stopped by SIGINT: ${clip.length} of 5 frames written to ${output}. Run the same command again to go on`,
    );
    deepStrictEqual(
      clip.map(([name]) => name),
      [...Array(clip.length)].map((_, i) => `frame_000${i + 1}.png`),
    );
    strictEqual(
      await names(output),
      [".dgaf-vsr-job", ...clip.map(([name]) => name)].join(" "),
    );
  }));

Deno.test("upscale says what is wrong with a model", () =>
  withTempDir(async (dir) => {
    const input = join(dir, "in");
    await makeClip(input, { width: 8, height: 8, count: 2 });
    const fails = async (model: string) => {
      const output = join(dir, "out");
      const result = await runCli("upscale", "-i", input, "-o", output, "-m", model, "--allow-cpu");
      // What was computed before the broken part came to be read is kept.
      ok(["", ".dgaf-vsr-job"].includes(await names(output)), await names(output));
      return result;
    };
    const none = await fails(join(dir, "none"));
    strictEqual(none.code, 69);
    ok(none.stderr.includes(join(dir, "none")), none.stderr);

    const model = await copyModel(join(dir, "model"));
    await editHeader(model, { part: "unet", from: '"conv_out.bias"', to: '"conv_out.bia_"' });
    const renamed = await fails(model);
    strictEqual(renamed.code, 65);
    ok(/conv_out\.bias/.test(renamed.stderr), renamed.stderr);

    await copyModel(model);
    await editHeader(model, { part: "unet", from: "[32,7,3,3]", to: "[7,32,3,3]" });
    const reshaped = await fails(model);
    strictEqual(reshaped.code, 65);
    ok(/conv_in\.weight.*\[7, 32, 3, 3\].*\[32, 7, 3, 3\]/.test(reshaped.stderr), reshaped.stderr);

    await copyModel(model);
    await fillTensor(model, { part: "vae", tensor: "decoder.conv_out.bias", byte: 0xff });
    const broken = await fails(model);
    strictEqual(broken.code, 65);
    ok(/"decoder\.conv_out\.bias".*element 0 is NaN/.test(broken.stderr), broken.stderr);

    await copyModel(model);
    await Deno.remove(join(model, "flow"), { recursive: true });
    const partless = await fails(model);
    strictEqual(partless.code, 69);
    ok(partless.stderr.includes("flow"), partless.stderr);
  }));

Deno.test("upscale refuses more steps than the model has", () =>
  withTempDir(async (dir) => {
    await makeClip(join(dir, "in"), { width: 8, height: 8, count: 1 });
    const { code, stderr } = await runCli(
      ...["upscale", "-i", join(dir, "in"), "--allow-cpu", "--steps", "1001"],
    );
    strictEqual(code, 64);
    ok(stderr.includes("Error: Cannot use steps 1001: an integer from 1 to 1000 is wanted"), stderr);
  }));

/** All frames of a folder with their file names, in order. */
async function readClip(folder: string): Promise<[name: string, frame: Frame][]> {
  const clip: [string, Frame][] = [];
  for (const file of (await listFrames(folder)).files) {
    clip.push([basename(file.path), await readFrame(file)]);
  }
  return clip;
}

async function names(folder: string): Promise<string> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort().join(" ");
}
