import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { basename, join } from "node:path";
import { checkOutput } from "../../src/cli/output_folder.ts";
import type { FaultCounts, Faults } from "../../src/gpu/faults.ts";
import { withTimeLimit } from "../_time_limit.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { copyModel, fillTensor } from "./edited_model.ts";
import { makeClip } from "./make_clip.ts";
import { type CliResult, runCli, runDeno } from "./run_cli.ts";

/** Far more than a run takes; what hangs must fail, not stop the tests. */
const LIMIT_S = 240;

/** Upscales `input` to `output` in two steps, with faults of the GPU. */
async function runFaulty(
  faults: Faults,
  { input, output }: { readonly input: string; readonly output: string },
): Promise<CliResult & { readonly counts: FaultCounts }> {
  const command = ["upscale", "-i", input, "-o", output, "--allow-cpu", "--steps", "2"];
  const run = runDeno("run", "-A", "tests/cli/faulty_main.ts", JSON.stringify(faults), ...command);
  const result = await withTimeLimit(run, LIMIT_S);
  ok(result.stdout, result.stderr);
  return { ...result, counts: JSON.parse(result.stdout) };
}

/** Bytes by name of what is in a folder, subfolders left out. */
async function readFiles(folder: string): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile) files[name] = await Deno.readFile(join(folder, name));
  }
  return files;
}

interface Bench {
  readonly input: string;
  readonly good: Record<string, Uint8Array>;
  readonly counts: FaultCounts;
  /** A folder that is not there yet. */
  readonly newOutput: () => string;
}

/** Tests share a clip, and what becomes of it without faults. */
let bench: Promise<Bench> | null = null;
let folder: string | null = null;

async function makeBench(): Promise<Bench> {
  folder = await Deno.makeTempDir({ prefix: "dgaf-vsr-faults-" });
  const input = join(folder, "clip"), output = join(folder, "good");
  await makeClip(input, { width: 12, height: 10, count: 2 });
  const { code, stderr, counts } = await runFaulty({}, { input, output });
  strictEqual(code, 0, stderr);
  const good = await readFiles(output);
  deepStrictEqual(Object.keys(good).sort(), ["frame_0001.png", "frame_0002.png"]);
  let made = 0;
  return { input, good, counts, newOutput: () => join(folder!, `output ${made++}`) };
}

Deno.test.afterAll(async () => {
  if (folder) await Deno.remove(folder, { recursive: true });
});

/** Fails unless all files in the folder are frames of the good run, and returns how many there are. */
async function assertGoodFrames(output: string, good: Bench["good"]): Promise<number> {
  const files = await readFiles(output);
  for (const [name, bytes] of Object.entries(files)) deepStrictEqual(bytes, good[name], name);
  return Object.keys(files).length;
}

Deno.test("upscale gets over a device that is lost, with the same bytes", async () => {
  const { input, good, counts, newOutput } = await (bench ??= makeBench());
  const output = newOutput();
  const destroyAtSubmit = Math.floor(0.2 * counts.submits);
  const { code, stderr } = await runFaulty({ destroyAtSubmit }, { input, output });
  strictEqual(code, 0, stderr);
  ok(stderr.includes("GPU device lost"), stderr);
  strictEqual(await assertGoodFrames(output, good), 2);
});

Deno.test("upscale ends with 75 where the device is lost again and again, and goes on later", async () => {
  const { input, good, counts, newOutput } = await (bench ??= makeBench());
  const output = newOutput();
  const faults = { destroyAtSubmit: Math.floor(0.5 * counts.submits), repeated: true };
  const { code, stderr } = await runFaulty(faults, { input, output });
  strictEqual(code, 75, stderr);
  match(
    stderr.trimEnd().split("\n").at(-1)!,
    /Cannot .*: GPU device lost \(destroyed\): .*Run the same command again/,
  );
  strictEqual(await assertGoodFrames(output, good), 0);
  const again = await runFaulty({}, { input, output });
  strictEqual(again.code, 0, again.stderr);
  strictEqual(await assertGoodFrames(output, good), 2);
});

Deno.test("upscale ends with 75 where there is no memory, and names what it was for", async () => {
  const { input, counts, newOutput } = await (bench ??= makeBench());
  for (const part of [0.001, 0.6]) {
    const output = newOutput();
    const faults = { failAllocation: Math.ceil(part * counts.allocations), repeated: true };
    const { code, stderr } = await runFaulty(faults, { input, output });
    strictEqual(code, 75, stderr);
    match(
      stderr.trimEnd().split("\n").at(-1)!,
      /Cannot allocate "[a-z][^"]*" of [1-9]\d* bytes: out-of-memory error: /,
    );
    deepStrictEqual(await readFiles(output), {});
  }
});

for (
  const [poisonLabel, message] of [
    [
      "flow.update_block.flow_head.conv2.bias",
      /Cannot compute the flow of frame 1: "flow\.update_block\.flow_head\.conv2" \(\w+.*\) is the first/,
    ],
    ["vae.decoder.conv_in.bias", /Cannot decode frame 0: "vae\.decoder\.conv_in" \(\w+.*\) is the first/],
  ] as const
) {
  Deno.test(`upscale ends with 65 and writes nothing where "${poisonLabel}" becomes NaN`, async () => {
    const { input, newOutput } = await (bench ??= makeBench());
    const output = newOutput();
    const { code, stderr, counts } = await runFaulty({ poisonAtSubmit: 1, poisonLabel }, { input, output });
    strictEqual(counts.poisoned, 1);
    strictEqual(code, 65, stderr);
    match(stderr, message);
    match(stderr, new RegExp(`its input "${poisonLabel.replaceAll(".", "\\.")}" is not finite already`));
    deepStrictEqual(await readFiles(output), {});
  });
}

Deno.test("upscale ends with 65 and writes nothing where the model makes pictures of one colour", () =>
  withTempDir(async (dir) => {
    const model = await copyModel(join(dir, "model")), output = join(dir, "out"), input = join(dir, "clip");
    for (const tensor of ["decoder.conv_out.weight", "decoder.conv_out.bias"]) {
      await fillTensor(model, { part: "vae", tensor, byte: 0 });
    }
    await makeClip(input, { width: 12, height: 10, count: 1 });
    const { code, stderr } = await runCli("upscale", "-i", input, "-o", output, "-m", model, "--allow-cpu");
    strictEqual(code, 65, stderr);
    match(
      stderr,
      /Cannot write frame 0: all its pixels are \(128, 128, 128\), but its input shows something/,
    );
    deepStrictEqual(await readFiles(output), {});
  }));

Deno.test("checkOutput() refuses a frame that is missing or cut off, with its path", async () => {
  const { good, newOutput } = await (bench ??= makeBench());
  const output = newOutput();
  await Deno.mkdir(output);
  const files = Object.keys(good).sort().map((name) => ({
    path: name,
    stem: basename(name, ".png"),
    format: undefined,
  }));
  const size = { width: 48, height: 40 };
  const problem = () =>
    checkOutput(output, { files, ...size }).then(() => null, ({ exitCode, message }) => [exitCode, message]);
  for (const [name, bytes] of Object.entries(good)) await Deno.writeFile(join(output, name), bytes);
  strictEqual(await problem(), null);
  const remedy = "Another program or the disk changed it; run the same command again";
  const [first, second] = files.map(({ stem }) => join(output, `${stem}.png`));
  await Deno.truncate(second!, 100);
  deepStrictEqual(await problem(), [
    74,
    `Cannot finish with "${second}": it does not end as a PNG. ${remedy}`,
  ]);
  await Deno.remove(first!);
  deepStrictEqual(
    await problem(),
    [74, `Cannot finish with "${first}": it is missing, and 1 more are bad. ${remedy}`],
  );
});
