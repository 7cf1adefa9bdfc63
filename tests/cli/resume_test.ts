import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { makeClip } from "./make_clip.ts";
import { type CliResult, runCli, runDeno } from "./run_cli.ts";

const FRAMES = ["frame_0001.png", "frame_0002.png"];
function args(dir: string, output: string): string[] {
  return [
    "upscale",
    "-i",
    join(dir, "in"),
    "-o",
    join(dir, output),
    "--allow-cpu",
    "--steps",
    "2",
    "--progress",
    "json",
  ];
}

/** A folder with a clip and a job of it, which tests share and copy. */
const master = await Deno.makeTempDir();

/** Leaves a job of two frames unfinished, by killing its process before it has written the first frame. */
Deno.test.beforeAll(async () => {
  await makeClip(join(master, "in"), { width: 8, height: 8, count: 2 });
  const { code } = await runDeno(
    "run",
    "-A",
    "tests/cli/killed_main.ts",
    `begin:${FRAMES[0]}`,
    "",
    ...args(master, "out"),
  );
  strictEqual(code, 128 + 9);
});

Deno.test.afterAll(() => Deno.remove(master, { recursive: true }));

/** Runs a test with a copy of the clip "in" and of the unfinished job in "out". */
async function withUnfinished(test: (dir: string) => Promise<void>): Promise<void> {
  await withTempDir(async (dir) => {
    await cp(master, dir, { recursive: true });
    await test(dir);
  });
}

function events({ stderr }: CliResult): Record<string, unknown>[] {
  return stderr.trimEnd().split("\n").map((line) => JSON.parse(line));
}

function message(result: CliResult): string {
  return String(events(result).at(-1)!.message);
}

async function readFrames(folder: string): Promise<Uint8Array[]> {
  return await Promise.all(FRAMES.map((name) => Deno.readFile(join(folder, name))));
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

Deno.test("upscale refuses what does not fit an unfinished job, naming it, and then goes on with the job", () =>
  withUnfinished(async (dir) => {
    const output = join(dir, "out"), same = args(dir, "out");

    const changed = await runCli(...same, "--scheduler", "ddim", "--seed", "8");
    strictEqual(changed.code, 73);
    strictEqual(
      message(changed),
      `Cannot go on with the unfinished job in "${output}": it was begun differently\n` +
        "  scheduler is ddim, the unfinished job has ddpm\n" +
        "  seed is 8, the unfinished job has 42\n" +
        "Run the command that it was begun with, or start over with --no-resume",
    );

    const input = join(dir, "in", FRAMES[1]!), before = await Deno.readFile(input);
    await Deno.copyFile(join(dir, "in", FRAMES[0]!), input);
    const other = await runCli(...same);
    strictEqual(other.code, 73);
    ok(message(other).includes(`\n  inputs/${FRAMES[1]} has another content\n`), message(other));
    await Deno.writeFile(input, before);

    const foreign = join(output, FRAMES[1]!);
    await Deno.writeTextFile(foreign, "mine");
    for (const flags of [[], ["--no-resume"]]) {
      const refused = await runCli(...same, ...flags);
      strictEqual(refused.code, 73);
      ok(
        message(refused).startsWith(`Cannot write "${foreign}": it exists. Pass --overwrite`),
        message(refused),
      );
    }
    strictEqual(await Deno.readTextFile(foreign), "mine");
    await Deno.remove(foreign);

    {
      await using _ = await JobFolder.open(output, FRAMES);
      const locked = await runCli(...same);
      strictEqual(locked.code, 73);
      ok(message(locked).includes("another run is writing to it"), message(locked));
    }

    const resumed = await runCli(...same);
    strictEqual(resumed.code, 0, resumed.stderr);
    deepStrictEqual(events(resumed).find(({ event }) => event === "resumed"), {
      event: "resumed",
      flow_pairs: 1,
      frame_steps: 4,
      frames: 0,
    });
    const stages = events(resumed).filter(({ event }) => event === "progress").map(({ stage }) => stage);
    deepStrictEqual([...new Set(stages)], ["decode"]);
    deepStrictEqual(names(output), FRAMES);
  }));

for (const [flags, seed] of [[["--no-resume"], 42], [["--overwrite", "--seed", "8"], 8]] as const) {
  Deno.test(`upscale ${flags.join(" ")} starts over where there is an unfinished job`, () =>
    withUnfinished(async (dir) => {
      const over = await runCli(...args(dir, "out"), ...flags);
      strictEqual(over.code, 0, over.stderr);
      strictEqual(events(over).some(({ event }) => event === "resumed"), false);
      deepStrictEqual(names(join(dir, "out")), FRAMES);
      strictEqual((await runCli(...args(dir, "fresh"), "--seed", `${seed}`)).code, 0);
      deepStrictEqual(await readFrames(join(dir, "out")), await readFrames(join(dir, "fresh")));
    }));
}

Deno.test("upscale --overwrite goes on with an unfinished job that was begun the same way", () =>
  withUnfinished(async (dir) => {
    const resumed = await runCli(...args(dir, "out"), "--overwrite");
    strictEqual(resumed.code, 0, resumed.stderr);
    strictEqual(events(resumed).some(({ event }) => event === "resumed"), true);
  }));
