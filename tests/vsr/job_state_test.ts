import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type Gpu, QUEUED_BYTES } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import {
  keptWork,
  loadFlows,
  loadPrompts,
  loadSamples,
  saveFlows,
  savePrompts,
  saveSamples,
} from "../../src/vsr/job_state.ts";
import { makeManifest } from "../../src/vsr/manifest.ts";
import { readTensors } from "../../src/vsr/read_tensors.ts";
import { gpuTest, signalTensor } from "../_gpu_test.ts";
import { meterQueue } from "../_meter_queue.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

const FLOW_SHAPE = [1, 3, 5, 2], LATENT_SHAPE = [1, 3, 5, 4];

function jobTest(name: string, body: (gpu: Gpu, job: JobFolder, dir: string) => Promise<void>): void {
  gpuTest(name, (gpu) =>
    withTempDir(async (dir) => {
      await using job = await JobFolder.open(dir, ["a.png"]);
      await job.begin(makeManifest({ adapter: "card", settings: {}, model: {}, inputs: {} }));
      await body(gpu, job, dir);
    }));
}

function signals(gpu: Gpu, name: string, { count, shape }: { count: number; shape: number[] }): Tensor[] {
  return Array.from({ length: count }, (_, i) => signalTensor(gpu, `${name} ${i}`, shape)[0]);
}

async function values(gpu: Gpu, tensors: readonly Tensor[]): Promise<number[][]> {
  return await Array.fromAsync(readTensors(gpu, tensors), (data) => [...data]);
}

function flowsOf(gpu: Gpu, count: number): { forward: Tensor[]; backward: Tensor[] } {
  const shape = FLOW_SHAPE;
  return { forward: signals(gpu, "f", { count, shape }), backward: signals(gpu, "b", { count, shape }) };
}

gpuTest(
  "readTensors() gives what gpu.read() gives, in order, also where it takes several reads",
  async (gpu) => {
    // 40 MiB each: two do not fit into one read of 64 MiB.
    const large = signals(gpu, "large", { count: 2, shape: [1, 1024, 2560, 3] });
    const small = signals(gpu, "small", { count: 3, shape: FLOW_SHAPE });
    const tensors = [small[0]!, large[0]!, small[1]!, large[1]!, small[2]!];
    const read = await Array.fromAsync(readTensors(gpu, tensors));
    strictEqual(read.length, 5);
    for (const [i, tensor] of tensors.entries()) {
      const expected = await gpu.read(tensor);
      strictEqual(read[i]!.length, expected.length);
      strictEqual(read[i]!.findIndex((value, k) => value !== expected[k]), -1, tensor.label);
      gpu.free(tensor);
    }
  },
);

jobTest(
  "loadPrompts() gives what savePrompts() kept, and nothing of another number or size",
  async (_, job) => {
    const shape = [2, 3] as const,
      prompts = [1, 2].map((v) => ({ data: new Float32Array(6).fill(v), shape }));
    strictEqual(await loadPrompts(job, { shape, count: 2 }), null);
    await savePrompts(job, prompts);
    deepStrictEqual(await loadPrompts(job, { shape, count: 2 }), prompts);
    strictEqual(await loadPrompts(job, { shape, count: 1 }), null);
    strictEqual(await loadPrompts(job, { shape: [3, 2], count: 2 }), null);
  },
);

jobTest("loadSamples() queues 64 MiB of latents, however many there are", async (gpu, job) => {
  const shape = [1, 512, 2048, 4], clean = gpu.tensor(shape, "clean", new Float32Array(2 ** 22).fill(1));
  const latents = Array<Tensor>(5).fill(clean);
  await saveSamples(gpu, job, { done: 5, latents, clean });
  using queue = meterQueue();
  const kept = await loadSamples(gpu, job, { shape, count: 5 });
  strictEqual(queue.writtenBytes, 6 * clean.storage.byteLength);
  ok(
    queue.mostQueuedBytes < QUEUED_BYTES + clean.storage.byteLength,
    `${queue.mostQueuedBytes} bytes queued`,
  );
  for (const tensor of [...kept!.latents, kept!.clean, clean]) gpu.free(tensor);
});

jobTest("loadFlows() joins what saveFlows() kept in several goes", async (gpu, job) => {
  const { forward, backward } = flowsOf(gpu, 3);
  const first = { forward: forward.slice(0, 2), backward: backward.slice(0, 2) };
  await saveFlows(gpu, job, { flows: first, from: 0 });
  await saveFlows(gpu, job, { flows: first, from: 2 });
  await saveFlows(gpu, job, { flows: { forward, backward }, from: 2 });
  deepStrictEqual(job.list("flows"), [
    "flows/000000000-000000002.safetensors",
    "flows/000000002-000000003.safetensors",
  ]);
  deepStrictEqual(keptWork(job), { pairs: 3, frameSteps: 0 });
  const kept = await loadFlows(gpu, job, { shape: FLOW_SHAPE, count: 4 });
  deepStrictEqual(await values(gpu, kept.forward), await values(gpu, forward));
  deepStrictEqual(await values(gpu, kept.backward), await values(gpu, backward));
  for (const flow of [...forward, ...backward, ...kept.forward, ...kept.backward]) gpu.free(flow);
});

jobTest(
  "saveFlows() and loadFlows() keep forward flows alone where no step goes backward",
  async (gpu, job) => {
    const { forward, backward } = flowsOf(gpu, 2);
    await saveFlows(gpu, job, { flows: { forward, backward: [] }, from: 0 });
    const kept = await loadFlows(gpu, job, { shape: FLOW_SHAPE, count: 3, directions: 1 });
    deepStrictEqual(await values(gpu, kept.forward), await values(gpu, forward));
    deepStrictEqual(kept.backward, []);
    const both = await loadFlows(gpu, job, { shape: FLOW_SHAPE, count: 3 });
    deepStrictEqual(both, { forward: [], backward: [] });
    for (const flow of [...forward, ...backward, ...kept.forward]) gpu.free(flow);
  },
);

jobTest("loadFlows() ends before a damaged file", async (gpu, job, dir) => {
  const flows = flowsOf(gpu, 3);
  for (const to of [1, 2, 3]) {
    const part = { forward: flows.forward.slice(0, to), backward: flows.backward.slice(0, to) };
    await saveFlows(gpu, job, { flows: part, from: to - 1 });
  }
  await Deno.truncate(`${dir}/.dgaf-vsr-job/${job.list("flows")[1]}`, 100);
  const kept = await loadFlows(gpu, job, { shape: FLOW_SHAPE, count: 4 });
  deepStrictEqual([kept.forward.length, kept.backward.length], [1, 1]);
  for (const flow of [flows, kept].flatMap(({ forward, backward }) => [...forward, ...backward])) {
    gpu.free(flow);
  }
});

jobTest(
  "loadSamples() gives the newest of two kept states, and the one before where that is damaged",
  async (gpu, job, dir) => {
    const options = { shape: LATENT_SHAPE, count: 2 };
    strictEqual(await loadSamples(gpu, job, options), null);
    const states = [5, 6, 11].map((done) => {
      const [clean, ...latents] = signals(gpu, `state ${done}`, { count: 3, shape: LATENT_SHAPE });
      return { done, latents, clean: clean! };
    });
    for (const state of states) await saveSamples(gpu, job, state);
    deepStrictEqual(job.list("latents"), ["latents/000000006.safetensors", "latents/000000011.safetensors"]);
    deepStrictEqual(keptWork(job), { pairs: 0, frameSteps: 11 });
    const made = states.flatMap(({ latents, clean }) => [...latents, clean]);
    for (const expected of [states[2]!, states[1]!]) {
      const kept = (await loadSamples(gpu, job, options))!;
      strictEqual(kept.done, expected.done);
      deepStrictEqual(await values(gpu, kept.latents), await values(gpu, expected.latents));
      deepStrictEqual(await values(gpu, [kept.clean]), await values(gpu, [expected.clean]));
      made.push(...kept.latents, kept.clean);
      await Deno.writeTextFile(
        `${dir}/.dgaf-vsr-job/latents/${`${kept.done}`.padStart(9, "0")}.safetensors`,
        "",
      );
    }
    strictEqual(await loadSamples(gpu, job, options), null);
    for (const tensor of made) gpu.free(tensor);
  },
);

jobTest("loadSamples() and loadFlows() pass over what is of another size", async (gpu, job) => {
  const latents = signals(gpu, "latent", { count: 1, shape: LATENT_SHAPE }), flows = flowsOf(gpu, 1);
  await saveSamples(gpu, job, { done: 1, latents, clean: latents[0]! });
  await saveFlows(gpu, job, { flows, from: 0 });
  strictEqual(await loadSamples(gpu, job, { shape: [1, 5, 3, 4], count: 1 }), null);
  strictEqual(await loadSamples(gpu, job, { shape: LATENT_SHAPE, count: 2 }), null);
  deepStrictEqual((await loadFlows(gpu, job, { shape: [1, 5, 3, 2], count: 2 })).forward, []);
  for (const tensor of [...latents, ...flows.forward, ...flows.backward]) gpu.free(tensor);
});
