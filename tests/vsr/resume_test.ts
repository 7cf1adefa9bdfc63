import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import type { Progress } from "../../src/vsr/progress.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { alwaysDue } from "./_always_due.ts";
import { signalFrame } from "./_signal_frame.ts";
import { trackBuffers } from "./_track_buffers.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;
const CLIP = [0, 1, 2].map((i) => signalFrame(i, { width: 20, height: 14 }));
const NAMES = ["0", "1", "2"];
const SETTINGS = { steps: 2, seed: 7 };
const REASON = new Error("enough");

/**
 * One run of the job in `dir`, aborted when `isEnough` says so; frames are written as their samples. Adds the names that
 * tensors were saved under to `saved`.
 */
async function run(
  upscaler: Upscaler,
  dir: string,
  { isEnough, saved }: { readonly isEnough: (event: Progress) => boolean; readonly saved: string[] },
): Promise<Progress[]> {
  await using job = await JobFolder.open(dir, NAMES);
  const save = job.save.bind(job);
  job.save = (name, tensors) => {
    saved.push(name);
    return save(name, tensors);
  };
  await job.begin(await upscaler.manifest({}, SETTINGS));
  const controller = new AbortController(), events: Progress[] = [];
  function onProgress(event: Progress): void {
    events.push(event);
    if (isEnough(event)) controller.abort(REASON);
  }
  const missing = NAMES.keys().filter((frame) => !job.isDone(frame)).toArray();
  try {
    for await (
      const { data } of upscaler.upscale(CLIP, { ...SETTINGS, job, onProgress, signal: controller.signal })
    ) {
      await job.writeFrame(missing.shift()!, new Uint8Array(data));
    }
    await job.finish();
  } catch (error) {
    if (error !== REASON) throw error;
  }
  return events;
}

Deno.test("Upscaler.upscale() goes on with a job after each abort, loses no unit, and gives the same bytes", () =>
  withTempDir(async (dir) => {
    using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true });
    const expected = await Array.fromAsync(upscaler.upscale(CLIP, SETTINGS), ({ data }) => data);
    using _ = alwaysDue();
    const at = (wanted: Progress["stage"], least: number) => ({ stage, done }: Progress) =>
      stage === wanted && done >= least;
    using buffers = trackBuffers();
    const stops = [at("flow", 1), at("sample", 1), at("sample", 4), at("decode", 1), () => false];
    const runs: Progress[][] = [], saved: string[] = [];
    for (const isEnough of stops) runs.push(await run(upscaler, dir, { isEnough, saved }));
    const ends = runs.map((events) => events.at(-1)!);
    deepStrictEqual(ends.map(({ stage }) => stage), ["flow", "sample", "sample", "decode", "decode"]);
    for (const [i, events] of runs.entries()) {
      const { stage, done } = ends[i - 1] ?? { stage: "flow", done: 0 };
      deepStrictEqual([events[0]!.stage, events[0]!.done], [stage, done], `run ${i}`);
    }
    for (const from of [0, 1]) {
      ok(saved.includes(`flows/00000000${from}-00000000${from + 1}.safetensors`), `pair ${from} of ${saved}`);
    }
    for (const done of [1, ends[2]!.done, 6]) {
      ok(saved.includes(`latents/00000000${done}.safetensors`), `${done} of ${saved}`);
    }
    deepStrictEqual([...buffers.live].map(({ label }) => label), []);
    deepStrictEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), NAMES);
    for (const [i, name] of NAMES.entries()) {
      deepStrictEqual(await Deno.readFile(`${dir}/${name}`), new Uint8Array(expected[i]!), `frame ${i}`);
    }
  }));

Deno.test("Upscaler.manifest() tells settings, inputs and the model's files apart", async () => {
  using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true });
  const manifest = await upscaler.manifest({ "a.png": "00" }, SETTINGS);
  deepStrictEqual(manifest.settings, {
    steps: 2,
    scheduler: "ddpm",
    seed: 7,
    conditioningScale: 0.5,
    noiseLevel: null,
    prompt: "",
    negativePrompt: "",
    guidanceScale: 1,
    precision: "f32",
    vaeTiling: false,
    maxGpuMemory: null,
  });
  deepStrictEqual(manifest.inputs, { "a.png": "00" });
  strictEqual(manifest.adapter, upscaler.adapter.description);
  const files = Object.keys(manifest.model);
  for (const part of ["unet", "vae", "dgafnet", "flow"]) {
    ok(
      files.includes(`${part}/config.json`) &&
        files.some((name) => name.startsWith(`${part}/`) && name.endsWith(".safetensors")),
      part,
    );
  }
  for (const hash of Object.values(manifest.model)) ok(/^[0-9a-f]{64}$/.test(hash), hash);
  await rejects(upscaler.manifest({}, { steps: 0 }), RangeError);
});
