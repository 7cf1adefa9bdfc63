// deno-lint-ignore-file no-console -- counts are part of the result

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import { makeManifest, type Manifest } from "../../src/vsr/manifest.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

const FAKE_JOB = fileURLToPath(new URL("_fake_job.ts", import.meta.url));
const JOB = ".dgaf-vsr-job";
const NAMES = ["a.png", "b.png"];
const MANIFEST = manifest(1);

function manifest(seed: number): Manifest {
  return makeManifest({ adapter: "card", settings: { seed }, model: {}, inputs: {} });
}

async function save(job: JobFolder, name: string, values: readonly number[]): Promise<void> {
  const tensors = {
    shapes: new Map([["x", [values.length]]]),
    values: ReadableStream.from([Float32Array.from(values)]),
  };
  await job.save(name, tensors);
}

/** The values saved under `name`; null where they are missing or damaged. */
async function load(job: JobFolder, name: string): Promise<number[] | null> {
  using file = await job.load(name);
  return file && [...new Float32Array((await file.readBytes("x")).buffer)];
}

/** All files below a folder, sorted. */
async function tree(folder: string, prefix = ""): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) paths.push(...await tree(join(folder, name), `${prefix}${name}/`));
    else paths.push(prefix + name);
  }
  return paths.sort();
}

/** A job of two frames with one state and the first frame finished, not open any more. */
async function makeUnfinished(dir: string): Promise<void> {
  await using job = await JobFolder.open(dir, NAMES);
  await job.begin(MANIFEST);
  await save(job, "latents/1.safetensors", [1, 2]);
  await job.writeFrame(0, Uint8Array.of(7));
}

Deno.test("JobFolder goes on with what an unfinished job has, and is gone when it is finished", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    {
      await using job = await JobFolder.open(dir, NAMES);
      ok(job.isUnfinished);
      await job.begin(MANIFEST);
      deepStrictEqual([job.isDone(0), job.isDone(1), job.finishedFrames], [true, false, 1]);
      deepStrictEqual(job.list("latents"), ["latents/1.safetensors"]);
      deepStrictEqual(await load(job, "latents/1.safetensors"), [1, 2]);
      await rejects(job.finish(), new RangeError("Cannot finish the job: frame 1 is not written"));
      await job.writeFrame(1, Uint8Array.of(8));
      await job.finish();
    }
    deepStrictEqual(await tree(dir), NAMES);
    deepStrictEqual([...Deno.readDirSync(dir)].length, 2);
  }));

Deno.test("JobFolder leaves nothing behind when no job was begun, and makes the folder if need be", () =>
  withTempDir(async (dir) => {
    const output = join(dir, "new", "out");
    {
      await using job = await JobFolder.open(output, NAMES);
      strictEqual(job.isUnfinished, false);
    }
    deepStrictEqual([...Deno.readDirSync(output)], []);
  }));

Deno.test("JobFolder leaves nothing behind when nothing was finished, and does not go on with that after a kill", () =>
  withTempDir(async (dir) => {
    {
      await using job = await JobFolder.open(dir, NAMES);
      await job.begin(MANIFEST);
    }
    deepStrictEqual([...Deno.readDirSync(dir)], []);
    await Deno.mkdir(join(dir, JOB));
    await Deno.writeTextFile(join(dir, JOB, "manifest.json"), JSON.stringify(MANIFEST));
    await using job = await JobFolder.open(dir, NAMES);
    deepStrictEqual([job.isUnfinished, job.changes(manifest(2))], [false, []]);
    await job.begin(manifest(2));
  }));

Deno.test("JobFolder.open() keeps a second run out, until the first has ended", () =>
  withTempDir(async (dir) => {
    {
      await using _ = await JobFolder.open(dir, NAMES);
      await rejects(JobFolder.open(dir, NAMES), {
        name: "JobError",
        code: "locked",
        message:
          `Cannot write to folder "${dir}": another run is writing to it. Wait for its end, or choose another folder`,
      });
    }
    await using job = await JobFolder.open(dir, NAMES);
    strictEqual(job.isUnfinished, false);
  }));

Deno.test("JobFolder.begin() refuses another manifest, naming what has changed, and keeps the job", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    const before = await tree(dir);
    {
      await using job = await JobFolder.open(dir, NAMES);
      deepStrictEqual(job.changes(manifest(2)), ["seed is 2, the unfinished job has 1"]);
      await rejects(job.begin(manifest(2)), (error: Error & { code?: string }) => {
        strictEqual(error.code, "changed");
        ok(error.message.includes("\n  seed is 2, the unfinished job has 1\n"), error.message);
        return true;
      });
    }
    deepStrictEqual(await tree(dir), before);
  }));

Deno.test("JobFolder takes a damaged manifest for a change", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    await Deno.writeTextFile(join(dir, JOB, "manifest.json"), "{");
    await using job = await JobFolder.open(dir, NAMES);
    ok(job.isUnfinished);
    const [change, ...others] = job.changes(MANIFEST);
    ok(change?.startsWith("manifest.json cannot be read: "), change);
    strictEqual(others.length, 0);
    await job.discard();
    await job.begin(MANIFEST);
  }));

Deno.test("JobFolder.discard() removes the job's state and its frames, and no others", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    await Deno.writeTextFile(join(dir, "b.png"), "mine");
    await Deno.writeTextFile(join(dir, "notes.txt"), "mine");
    {
      await using job = await JobFolder.open(dir, NAMES);
      await job.discard();
      strictEqual(job.isUnfinished, false);
      await job.begin(manifest(2));
      deepStrictEqual([job.finishedFrames, job.list("latents")], [0, []]);
    }
    deepStrictEqual(await tree(dir), ["b.png", "notes.txt"]);
  }));

Deno.test("JobFolder does not take a frame for done that was changed or replaced by a link", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    const path = join(dir, "a.png");
    await Deno.writeFile(path, Uint8Array.of(6));
    {
      await using job = await JobFolder.open(dir, NAMES);
      strictEqual(job.isDone(0), false);
    }
    await Deno.writeFile(join(dir, "same"), Uint8Array.of(7));
    await Deno.remove(path);
    await Deno.symlink(join(dir, "same"), path);
    await using job = await JobFolder.open(dir, NAMES);
    strictEqual(job.isDone(0), false);
  }));

Deno.test("JobFolder.load() gives nothing for a file with any bit changed, or cut short, or missing", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    const path = join(dir, JOB, "latents/1.safetensors");
    const bytes = await Deno.readFile(path);
    await using job = await JobFolder.open(dir, NAMES);
    for (let i = 0; i < bytes.length; i++) {
      await Deno.writeFile(path, bytes.with(i, bytes[i]! ^ 1));
      strictEqual(await load(job, "latents/1.safetensors"), null, `byte ${i}`);
    }
    await Deno.writeFile(path, bytes.subarray(0, -1));
    strictEqual(await load(job, "latents/1.safetensors"), null);
    await Deno.writeFile(path, bytes);
    deepStrictEqual(await load(job, "latents/1.safetensors"), [1, 2]);
    strictEqual(await load(job, "latents/2.safetensors"), null);
    await Deno.remove(path);
    strictEqual(await load(job, "latents/1.safetensors"), null);
  }));

Deno.test("JobFolder.open() removes temporary files of its own and no others", () =>
  withTempDir(async (dir) => {
    await makeUnfinished(dir);
    const ours = [".a.png.tmp-1", `${JOB}/.manifest.json.tmp-22`, `${JOB}/latents/.2.safetensors.tmp-3`];
    const others = [".c.png.tmp-1", ".a.png.tmp-x", "a.png.tmp-1"];
    for (const name of [...ours, ...others]) await Deno.writeTextFile(join(dir, name), "");
    await (await JobFolder.open(dir, NAMES))[Symbol.asyncDispose]();
    const left = await tree(dir);
    deepStrictEqual([...ours, ...others].filter((name) => left.includes(name)), others);
  }));

for (const name of [JOB, `${JOB}/lock`, `${JOB}/done.sha256`]) {
  Deno.test(`JobFolder.open() refuses a symbolic link in the place of ${name}`, () =>
    withTempDir(async (dir) => {
      const output = join(dir, "out"), elsewhere = join(dir, "elsewhere");
      await Deno.mkdir(name === JOB ? output : join(output, JOB), { recursive: true });
      await (name === JOB ? Deno.mkdir(elsewhere) : Deno.writeTextFile(elsewhere, "mine"));
      await Deno.symlink(elsewhere, join(output, name));
      await rejects(JobFolder.open(output, NAMES), { message: /^Cannot use ".*": it is a symbolic link/ });
      if (name === JOB) deepStrictEqual([...Deno.readDirSync(elsewhere)], []);
      else strictEqual(await Deno.readTextFile(elsewhere), "mine");
    }));
}

Deno.test("JobFolder survives being killed at every point of writing, with the bytes of an undisturbed run", () =>
  withTempDir(async (dir) => {
    const whole = await fakeJob(join(dir, "whole"), Infinity);
    const points = Number(whole.stdout);
    ok(points > 40, `${points} points`);
    const frames = await readFrames(join(dir, "whole"));
    strictEqual(frames.join(), "13,0,13,1");
    let finishedByKill = 0;
    for (let at = 1; at <= points; at++) {
      const output = join(dir, `killed ${at}`);
      strictEqual((await fakeJob(output, at)).signal, "SIGKILL", `point ${at}`);
      // Once the manifest is gone the job is finished, though nobody was told.
      const left = await tree(output);
      const isFinished = left.includes("1.png") && !left.includes(`${JOB}/manifest.json`);
      if (isFinished) {
        finishedByKill++;
        await (await JobFolder.open(output, []))[Symbol.asyncDispose]();
      } else {
        const { code, stderr } = await fakeJob(output, Infinity);
        strictEqual(code, 0, `point ${at}: ${stderr}`);
      }
      deepStrictEqual(await tree(output), ["0.png", "1.png"], `point ${at}`);
      deepStrictEqual(await readFrames(output), frames, `point ${at}`);
    }
    console.log(`killed at ${points} points, ${finishedByKill} of them after the job's end`);
  }));

async function fakeJob(
  output: string,
  killAt: number,
): Promise<{ code: number; signal: Deno.Signal | null; stdout: string; stderr: string }> {
  const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--allow-read",
      "--allow-write",
      "--allow-run",
      FAKE_JOB,
      output,
      `${killAt}`,
    ],
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, signal, stdout: decode(stdout), stderr: decode(stderr) };
}

async function readFrames(folder: string): Promise<number[][]> {
  return await Promise.all([0, 1].map(async (i) => [...await Deno.readFile(join(folder, `${i}.png`))]));
}
