// Works on a job in the folder named by the first argument as an upscaler would, without a GPU, and kills this process
// at the write point counted by the second. At the end it prints how many points there were.

// deno-lint-ignore-file no-console -- the test reads it

import { join } from "node:path";
import { observeWrites } from "../../src/media/write_observer.ts";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import { makeManifest } from "../../src/vsr/manifest.ts";

const [output, killAt] = [Deno.args[0]!, Number(Deno.args[1])];
const FRAMES = 2, STEPS = 3;
const names = Array.from({ length: FRAMES }, (_, i) => `${i}.png`);
const shapes = new Map([["x", [4]]]);

let points = 0;
observeWrites(() => {
  if (++points === killAt) Deno.kill(Deno.pid, "SIGKILL");
});

/** A state that the one before must lead to: work that is lost or done twice shows in the frames. */
async function* next(state: number): AsyncGenerator<Float32Array> {
  yield new Float32Array(4).fill(3 * state + 1);
}

{
  await using job = await JobFolder.open(output, names);
  for (const [frame, name] of names.entries()) {
    const isThere = await Deno.lstat(join(output, name)).then(() => true, () => false);
    if (isThere && !job.isDone(frame)) throw new Error(`"${name}" is there and not known to the job`);
  }
  await job.begin(makeManifest({ adapter: "none", settings: {}, model: {}, inputs: {} }));
  let state = 0, done = 0;
  for (const name of job.list("latents")) {
    using file = await job.load(name);
    if (!file) throw new Error(`"${name}" is damaged`);
    state = new Float32Array((await file.readBytes("x")).buffer)[0]!;
    done = Number(name.match(/\d+/)![0]);
  }
  while (done < STEPS) {
    await job.save(`latents/${++done}.safetensors`, { shapes, values: next(state) });
    state = 3 * state + 1;
    for (const old of job.list("latents").slice(0, -2)) await job.remove(old);
  }
  for (const frame of names.keys()) {
    if (!job.isDone(frame)) await job.writeFrame(frame, Uint8Array.of(state, frame));
  }
  await job.finish();
}
console.log(points);
