// Ends runs in the middle, by signals and by a full disk, and runs the same command again until the job is done: the
// frames must be those of an undisturbed run, and nothing else may remain. DGAF_KILL_COUNT sets the number of kills at
// random moments and has every write point tried; DGAF_KILL_SEED chooses the moments.

// deno-lint-ignore-file no-console -- counts are part of the result

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { withTempDir } from "../media/with_temp_dir.ts";
import { fillDisk } from "./fill_disk.ts";
import { makeClip } from "./make_clip.ts";
import { type CliResult, runCli, runDeno, startCli } from "./run_cli.ts";

const FRAMES = ["frame_0001.png", "frame_0002.png", "frame_0003.png"];
const JOB = ".dgaf-vsr-job";
const COUNT = Number(Deno.env.get("DGAF_KILL_COUNT") ?? 0);
const SEED = Number(Deno.env.get("DGAF_KILL_SEED") ?? 1);
/** A full disk of this size has room for what the job writes and little more. */
const DISK_BYTES = 2 ** 20;

const random = randomNumbers(SEED);
const dir = await Deno.makeTempDir();
const input = join(dir, "in");
let expected: Uint8Array[] = [], wholeMs = 0, points = 0;

Deno.test.beforeAll(async () => {
  await makeClip(input, { width: 20, height: 14, count: FRAMES.length });
  const whole = join(dir, "whole"), start = performance.now();
  const { code, stdout, stderr } = await runAt(whole, { at: Infinity });
  strictEqual(code, 0, stderr);
  wholeMs = performance.now() - start;
  points = Number(stdout);
  expected = await readFrames(whole);
  await assertDone(whole);
});

Deno.test.afterAll(() => Deno.remove(dir, { recursive: true }));

Deno.test("upscale gives the same bytes when it is killed at write points again and again", async () => {
  const output = join(dir, "points");
  let kills = 0;
  for (; !await isFinished(output); kills++) {
    // Every run gets some points further than the last.
    const { code, stderr } = await runAt(output, { at: 12 + Math.floor(20 * random()) });
    if (code === 0) break;
    strictEqual(code, 128 + 9, stderr);
  }
  await assertDone(output);
  console.log(`killed ${kills} times at write points of one job, seed ${SEED}`);
});

Deno.test("upscale gives the same bytes when it is killed at any of its write points", async () => {
  ok(points > 60, `${points} points`);
  const chosen = COUNT > 0
    ? Array.from({ length: points }, (_, i) => i + 1)
    : [1 + Math.floor(points * random())];
  for (const at of chosen) {
    const output = join(dir, `point ${at}`);
    strictEqual((await runAt(output, { at })).code, 128 + 9, `point ${at}`);
    await finish(output);
  }
  console.log(`killed at ${chosen.length} of ${points} write points, seed ${SEED}`);
});

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  Deno.test(`upscale gives the same bytes after ${signal} at random moments`, async () => {
    let kills = 0;
    for (let job = 0; kills < Math.max(1, COUNT); job++) {
      const output = join(dir, `${signal} ${job}`);
      // At most three for one job, which may otherwise never get anywhere.
      for (let i = 0; i < 3 && kills < Math.max(1, COUNT); i++) {
        const child = startCli(args(output));
        const result = child.output();
        await Promise.race([result, delay(wholeMs * random())]);
        killIfAlive(child, signal);
        const { code, stderr } = await result;
        if (code === 0) break;
        strictEqual(code, signal === "SIGKILL" ? 128 + 9 : 143, new TextDecoder().decode(stderr));
        kills++;
      }
      await finish(output);
    }
    console.log(`${kills} times ${signal} at random moments, seed ${SEED}`);
  });
}

Deno.test("upscale keeps what is finished when the disk gets full, says so, and goes on when there is room", () =>
  withTempDir(async (disk) => {
    if (!await mount(disk)) {
      console.log("NOT TESTED: a full disk, because this user may not mount one");
      return;
    }
    try {
      const output = join(disk, "out"), ballast = join(disk, "ballast");
      for (const at of [5, 25, 35]) {
        const { code, stderr } = await runAt(output, { at, ballast });
        strictEqual(code, 74, stderr);
        ok(
          /No space left.*: \d of 3 frames written to .*\. Make room and run the same command again/.test(
            stderr,
          ),
          stderr,
        );
        strictEqual((await tree(output)).some((name) => name.includes(".tmp-")), false);
        await Deno.remove(ballast);
      }
      fillDisk(ballast);
      const fresh = await runCli(...args(join(disk, "fresh")));
      strictEqual(fresh.code, 73, fresh.stderr);
      ok(
        /Cannot write to folder ".*\/fresh": .* are free, up to .* are needed\. Make room/.test(fresh.stderr),
        fresh.stderr,
      );
      await Deno.remove(ballast);
      await finish(output);
    } finally {
      await new Deno.Command("umount", { args: [disk] }).output();
    }
  }));

function args(output: string): string[] {
  return ["upscale", "-i", input, "-o", output, "--allow-cpu", "--tuning", "off", "--steps", "2"];
}

/** Runs until something happens at a write point. */
function runAt(
  output: string,
  { at, ballast = "" }: { readonly at: number; readonly ballast?: string },
): Promise<CliResult> {
  return runDeno("run", "-A", "tests/cli/killed_main.ts", `${at}`, ballast, ...args(output));
}

function killIfAlive(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has ended
  }
}

/** Runs the same command to its end, if it has not come yet. */
async function finish(output: string): Promise<void> {
  if (!await isFinished(output)) {
    const { code, stderr } = await runCli(...args(output));
    strictEqual(code, 0, stderr);
  }
  await assertDone(output);
}

/**
 * Whether a job's manifest is gone and its frames are there: then it is finished, though its process may not have lived
 * to say so. The command refuses to write over finished frames, and removes what is left of the job.
 */
async function isFinished(output: string): Promise<boolean> {
  const files = await tree(output);
  if (files.includes(`${JOB}/manifest.json`) || !files.includes(FRAMES.at(-1)!)) return false;
  if ([...Deno.readDirSync(output)].length > FRAMES.length) {
    strictEqual((await runCli(...args(output))).code, 73);
  }
  return true;
}

async function assertDone(output: string): Promise<void> {
  deepStrictEqual(await tree(output), FRAMES);
  strictEqual([...Deno.readDirSync(output)].length, FRAMES.length);
  for (const [i, bytes] of (await readFrames(output)).entries()) {
    deepStrictEqual(bytes, expected[i], FRAMES[i]);
  }
}

async function readFrames(folder: string): Promise<Uint8Array[]> {
  return await Promise.all(FRAMES.map((name) => Deno.readFile(join(folder, name))));
}

/** All files below a folder, sorted; none where there is no folder. */
async function tree(folder: string, prefix = ""): Promise<string[]> {
  const paths: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) paths.push(...await tree(join(folder, name), `${prefix}${name}/`));
      else paths.push(prefix + name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return paths.sort();
}

async function mount(folder: string): Promise<boolean> {
  if (Deno.build.os !== "linux") return false;
  const options = ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", folder];
  return (await new Deno.Command("mount", { args: options }).output()).success;
}

/** Numbers in [0, 1) that depend on the seed alone. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
