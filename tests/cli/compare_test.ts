import { ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTempDir } from "../media/with_temp_dir.ts";
import { writeFrame } from "../media/write_frame.ts";
import { runCli } from "./run_cli.ts";

const DEMO = fileURLToPath(new URL("../../demo/frames", import.meta.url));
const GROUND_TRUTH = fileURLToPath(new URL("../../demo/ground_truth", import.meta.url));

Deno.test("compare prints means of a clip and of bicubic upscaling", async () => {
  const { code, stdout, stderr } = await runCli(
    ...["compare", "-i", GROUND_TRUTH, "-r", GROUND_TRUTH, "--low-resolution", DEMO],
  );
  strictEqual(code, 0, stderr);
  strictEqual(
    stdout,
    [
      "8 frames of 640 x 360, mean over frames and channels",
      "           PSNR (dB)     SSIM",
      "upscaled    infinite   1.0000",
      "bicubic        27.64   0.7169",
      "",
    ].join("\n"),
  );
});

Deno.test("compare gives 20 dB for an error of a tenth, without low resolution no second row", () =>
  withTempDir(async (dir) => {
    await makeFlat(join(dir, "a"), { value: 100, size: 12, names: ["1", "2"] });
    await makeFlat(join(dir, "b"), { value: 125.5, size: 12, names: ["1", "2"] });
    const { code, stdout } = await runCli("compare", "-i", join(dir, "a"), "-r", join(dir, "b"));
    strictEqual(code, 0);
    // 125.5 is stored as 125: 20 log10(255 / 25).
    ok(/^upscaled +20\.17 +0\.\d{4}\n$/m.test(stdout), stdout);
    ok(!stdout.includes("bicubic"), stdout);
  }));

Deno.test("compare says which frames are missing and which size is wanted", () =>
  withTempDir(async (dir) => {
    await makeFlat(join(dir, "a"), { value: 1, size: 12, names: ["1", "2"] });
    await makeFlat(join(dir, "b"), { value: 1, size: 16, names: ["2", "3", "4"] });
    const { code, stdout, stderr } = await runCli("compare", "-i", join(dir, "a"), "-r", join(dir, "b"));
    strictEqual(code, 65);
    strictEqual(stdout, "");
    ok(stderr.includes('frames are 12 x 12, 16 x 16 is wanted; it lacks frame "3" and 1 more'), stderr);
    ok(stderr.includes('the reference lacks frame "1". Give folders with the same frames'), stderr);
    const missing = await runCli("compare", "-i", join(dir, "a"), "-r", join(dir, "none"));
    strictEqual(missing.code, 66);
  }));

Deno.test("compare wants two pictures of one name and of one bit depth", () =>
  withTempDir(async (dir) => {
    await makeFlat(join(dir, "a"), { value: 1, size: 12, names: ["1", "2"] });
    const data = new Uint16Array(12 * 12 * 3).fill(257);
    await writeFrame(join(dir, "1.png"), { width: 12, height: 12, bitDepth: 16, data });
    const deep = await runCli("compare", "-i", join(dir, "1.png"), "-r", join(dir, "a/1.png"));
    ok(deep.stderr.includes("has 16 bits per sample, the reference has 8. Convert one of them"), deep.stderr);
    const other = await runCli("compare", "-i", join(dir, "a/2.png"), "-r", join(dir, "a/1.png"));
    ok(other.stderr.includes("Give folders with the same frames, or two pictures of one name"), other.stderr);
    strictEqual([deep.code, other.code].join(), "65,65");
    const { stdout } = await runCli("compare", "--help");
    ok(/or the true picture: same names/.test(stdout.replace(/\s+/g, " ")), stdout);
  }));

async function makeFlat(
  folder: string,
  options: { readonly value: number; readonly size: number; readonly names: readonly string[] },
): Promise<void> {
  const { value, size, names } = options;
  await Deno.mkdir(folder);
  const data = new Uint8Array(size * size * 3).fill(value);
  for (const name of names) {
    await writeFrame(join(folder, `${name}.png`), { width: size, height: size, bitDepth: 8, data });
  }
}
