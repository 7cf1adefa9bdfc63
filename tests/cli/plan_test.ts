import assert from "node:assert/strict";
import { join } from "node:path";
import { signalFrame } from "../vsr/_signal_frame.ts";
import { pngFile } from "../media/png_file.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { writeFrame } from "../media/write_frame.ts";
import { runCli } from "./run_cli.ts";

/** Writes two frames of 16 × 12 and returns their folder. */
async function frames(dir: string): Promise<string> {
  for (const i of [1, 2]) {
    await writeFrame(join(dir, `${i}.png`), signalFrame(i, { width: 16, height: 12 }));
  }
  return dir;
}

Deno.test("plan prints memory by stage, peak, disk and time on stdout, and writes nothing", () =>
  withTempDir(async (dir) => {
    const input = await frames(dir);
    const { code, stdout, stderr } = await runCli("plan", "-i", input, "--allow-cpu", "--steps", "3");
    assert.equal(stderr, "");
    assert.equal(code, 0);
    const lines = stdout.split("\n");
    assert.equal(lines[0], "2 frames of 16 x 12 to 64 x 48, 3 steps, model nano");
    assert.match(stdout, /^GPU memory +flow +sample +decode$/m);
    for (
      const row of ["weights", "transformed filters", "activations", "frames", "flows", "latents", "all"]
    ) {
      assert.match(stdout, new RegExp(`^  ${row}( +[\\d.]+ [kMG]?B){3}$`, "m"));
    }
    assert.match(stdout, /^GPU memory, peak +[\d.]+ MB$/m);
    assert.match(stdout, /^Host memory +about [\d.]+ [kM]B, besides Deno and the GPU driver$/m);
    assert.match(stdout, /^Disk +at most [\d.]+ kB for the PNG files, [\d.]+ kB until all are written$/m);
    assert.match(stdout, /^Time +about \d+:\d\d: flow \d+:\d\d, sample \d+:\d\d, decode \d+:\d\d$/m);
    assert.deepEqual([...Deno.readDirSync(input)].map(({ name }) => name).sort(), ["1.png", "2.png"]);
  }));

Deno.test("plan says what is done to keep to --max-gpu-memory", () =>
  withTempDir(async (dir) => {
    const args = ["plan", "-i", await frames(dir), "--allow-cpu", "--max-gpu-memory", "18MB"];
    const { code, stdout } = await runCli(...args);
    assert.equal(code, 0);
    assert.match(stdout, /^GPU memory, peak +[\d.]+ MB of 18 MB allowed$/m);
    assert.match(stdout, /^To fit +transformed filters computed anew each time$/m);
  }));

for (const command of ["plan", "upscale"]) {
  Deno.test(`${command} refuses a limit that nothing can keep to, with exit code 69 and what would fit`, () =>
    withTempDir(async (dir) => {
      const input = await frames(await Deno.makeTempDir({ dir })), output = join(dir, "out");
      const args = [command, "-i", input, "--allow-cpu", "--max-gpu-memory", "1MB"];
      if (command === "upscale") args.push("-o", output);
      const { code, stdout, stderr } = await runCli(...args);
      assert.match(
        stderr,
        /^Error: Cannot upscale 2 frames of 16 x 12 within 1 MB of GPU memory: stage "sample" needs [\d.]+ MB after all measures that are allowed\. Allow [\d.]+MB with --max-gpu-memory$/m,
      );
      assert.equal(code, 69);
      assert.equal(stdout, "");
    }));
}

for (const command of ["plan", "upscale"]) {
  Deno.test(`${command} refuses frames too large for the GPU before their pixels are read, with exit code 69`, () =>
    withTempDir(async (dir) => {
      const input = await Deno.makeTempDir({ dir }), output = join(dir, "out");
      const header = new Uint8Array(13), view = new DataView(header.buffer);
      view.setUint32(0, 6000);
      view.setUint32(4, 5000);
      header.set([8, 2], 8); // bits per sample, RGB
      const picture = pngFile([["IHDR", header], ["IDAT", []]]);
      for (const name of ["1.png", "2.png"]) await Deno.writeFile(join(input, name), picture);
      const args = [command, "-i", input, "--allow-cpu", ...command === "upscale" ? ["-o", output] : []];
      const { code, stderr } = await runCli(...args);
      assert.equal(code, 69, stderr);
      assert.match(stderr, /^Error: Cannot .* \d+ bytes.*\. Use frames of at most \d+ x \d+$/m);
    }));
}

Deno.test("a size that is none is a usage error", async () => {
  const { code, stderr } = await runCli("plan", "-i", "frames", "--max-gpu-memory", "3XB");
  assert.match(stderr, /"3XB" is no size: a number with a unit is wanted, such as 3GB or 800MiB/);
  assert.equal(code, 64);
});
