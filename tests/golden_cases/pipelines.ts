import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { parseSchedulerConfig } from "../../src/checkpoint/scheduler_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import { Scheduler } from "../../src/diffusion/scheduler.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { scale } from "../../src/kernels/elementwise.ts";
import { RAFT } from "../../src/models/raft.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { decodeStage } from "../../src/vsr/decode_stage.ts";
import { flowStage } from "../../src/vsr/flow_stage.ts";
import type { Flows, FlowStep } from "../../src/vsr/flows.ts";
import { type Clip, copyTensor } from "../../src/vsr/frame_store.ts";
import type { Noise } from "../../src/vsr/noise.ts";
import type { SampleNetworks } from "../../src/vsr/frame_step.ts";
import { sampleStage } from "../../src/vsr/sample_stage.ts";
import { LatentGuide, PictureGuide, type TemporalModule } from "../../src/vsr/temporal_module.ts";
import type { Weights } from "../../src/nn/weights.ts";
import { flowTensor, fromFlowPairs } from "../_flow_pairs.ts";
import { toChannelsLast } from "../_gpu_test.ts";
import { withGenerated } from "../generated_weights.ts";
import { type Golden, type GoldenCase, tensorOf } from "../golden_file.ts";
import { buildControlNet, buildDGAFNet, buildUNet } from "./networks.ts";
import { type CaseRunner, type Computed, everyNth, plainInput, readPlanar } from "./run.ts";

/** Runners by the index's `network`. */
export const pipelineRunners: Record<string, CaseRunner> = { pipeline };

async function pipeline(gpu: Gpu, golden: Golden): Promise<Computed> {
  const { case: entry } = golden;
  const configs = entry.configs!, computed: Computed = new Map();
  const frames = new FloatClip(gpu, golden, "lr");
  const flows = configs["flow"]
    ? await withGenerated(
      gpu,
      { case: entry, prefix: "flow.", build: (w) => new RAFT(w, parseRAFTConfig(configs["flow"], "flow")) },
      async (raft) => {
        const found = await flowStage(gpu, raft, { frames });
        for (const direction of ["forward", "backward"] as const) {
          computed.set(`flow.${direction}`, await readFlows(gpu, found[direction], frames.width));
        }
        return found;
      },
    )
    : frames.count > 1
    ? storedFlows(gpu, golden, configs["controlnet"] ? 1 : 4)
    : null;
  const context = plainInput(gpu, golden, "prompt");
  const scale: number = entry.options!["guidance_scale"];
  const textGuidance = scale > 1 ? { negative: plainInput(gpu, golden, "negative_prompt"), scale } : null;
  const latents = await withGenerated(
    gpu,
    { case: entry, prefix: "unet.", build: buildUNet(configs["unet"]!) },
    (unet) => {
      const run = (temporal: TemporalModule | null) =>
        sample(gpu, golden, { unet, temporal, context, textGuidance, frames, flows, computed });
      return flows ? withTemporal(gpu, entry, run) : run(null);
    },
  );
  await withGenerated(gpu, vaeOf(entry), async (decoder) => {
    computed.set("frames", await decodeFloats(gpu, decoder, latents));
    const planes: number[] = [];
    for await (const { data, width, height } of decodeStage(gpu, decoder, { latents, bitDepth: () => 8 })) {
      for (let c = 0; c < 3; c++) for (let p = 0; p < width * height; p++) planes.push(data[3 * p + c]!);
    }
    computed.set("frames_8bit", planes);
  });
  return computed;
}

function vaeOf(entry: GoldenCase) {
  const config = parseVAEConfig(entry.configs!["vae"], "vae");
  return { case: entry, prefix: "vae.", build: (w: Weights) => new VAEDecoder(w, config) };
}

/** Hands the case's temporal module to `use`. */
function withTemporal<R>(
  gpu: Gpu,
  entry: GoldenCase,
  use: (temporal: TemporalModule) => Promise<R>,
): Promise<R> {
  const { dgafnet, controlnet } = entry.configs!;
  if (dgafnet) {
    const from = { case: entry, prefix: "dgafnet.", build: buildDGAFNet(dgafnet) };
    return withGenerated(gpu, from, (network) => use(new LatentGuide(network)));
  }
  const from = { case: entry, prefix: "controlnet.", build: buildControlNet(controlnet!) };
  return withGenerated(
    gpu,
    from,
    (network) => withGenerated(gpu, vaeOf(entry), (vae) => use(new PictureGuide(network, vae, null))),
  );
}

interface Job extends SampleNetworks {
  readonly frames: Clip;
  readonly flows: Flows | null;
  readonly computed: Computed;
}

/** Runs the sampling stage with the stored random numbers, and notes latents, estimates and guides of every step. */
async function sample(gpu: Gpu, golden: Golden, { frames, flows, computed, ...networks }: Job) {
  const { configs, options } = golden.case;
  const { steps, conditioning_scale, class_label } = options as Record<string, number>;
  const count = frames.count;
  const after: Float32Array[] = [], clean: Float32Array[] = [];
  const latents = await sampleStage(gpu, networks, {
    frames,
    flows,
    noise: new StoredNoise(gpu, golden),
    scheduler: new Scheduler(parseSchedulerConfig(configs!["scheduler"], "scheduler")),
    steps: steps!,
    conditioningScale: conditioning_scale!,
    classLabel: class_label!,
    onStep: async ({ step, frame, latent, clean: x0, guide }) => {
      after[step * count + frame] = await readPlanar(gpu, latent);
      clean[step * count + frame] = await readPlanar(gpu, x0);
      const name = `guide.${step}.${frame}`;
      if (guide && golden.tensors.has(name)) computed.set(name, await readPlanar(gpu, guide));
    },
  });
  computed.set("latents_after", after.flatMap((v) => [...v]));
  computed.set("x0", clean.flatMap((v) => [...v]));
  return latents;
}

/** A stored clip (T, 3, h, w) of floats in [-1, 1]. */
class FloatClip implements Clip {
  readonly height: number;
  readonly width: number;
  readonly count: number;
  readonly #frames: Tensor[] = [];

  constructor(gpu: Gpu, golden: Golden, name: string) {
    const { shape, data } = tensorOf(golden, name);
    const [count = 1, channels = 3, height = 1, width = 1] = shape;
    this.count = count;
    this.height = height;
    this.width = width;
    const values = toChannelsLast(data, shape), size = channels * height * width;
    for (let i = 0; i < count; i++) {
      const frame = values.slice(i * size, (i + 1) * size);
      this.#frames.push(gpu.tensor([1, height, width, channels], `${name} ${i}`, frame));
    }
  }

  load(encoder: GPUCommandEncoder, index: number, target: Tensor): void {
    copyTensor(encoder, this.#frames[index]!, target);
  }
}

/** The stored random numbers of a pipeline case. */
class StoredNoise implements Noise {
  readonly #gpu: Gpu;
  readonly #golden: Golden;

  constructor(gpu: Gpu, golden: Golden) {
    this.#gpu = gpu;
    this.#golden = golden;
  }

  fill(target: Tensor, { frame, stream }: { readonly frame: number; readonly stream: number }): void {
    const { shape, data } = tensorOf(this.#golden, stream === 0 ? "latents" : "noise");
    const [count, channels, height, width] = shape.slice(-4) as [number, number, number, number];
    const size = channels * height * width, at = (Math.max(stream - 1, 0) * count + frame) * size;
    this.#gpu.write(target, toChannelsLast(data.slice(at, at + size), [1, channels, height, width]));
  }
}

/** Stored flows (T-1, 4h, 4w, 2), at the density the pipeline keeps. */
function storedFlows(gpu: Gpu, golden: Golden, step: FlowStep): Flows {
  function direction(name: string): Tensor[] {
    const { shape, data } = tensorOf(golden, name);
    const [count = 0, height = 1, width = 1] = shape;
    const h = height / step, w = width / step, size = h * w * 2;
    const sparse = everyNth(data, shape, step);
    return Array.from(
      { length: count },
      (_, i) =>
        flowTensor(gpu, `${name} ${i}`, {
          shape: [1, h, w, 2],
          data: sparse.slice(i * size, (i + 1) * size),
        }),
    );
  }
  return { forward: direction("flow.forward"), backward: direction("flow.backward") };
}

async function readFlows(gpu: Gpu, flows: readonly Tensor[], width: number): Promise<number[]> {
  const values: number[] = [];
  for (const flow of flows) values.push(...fromFlowPairs(await gpu.read(flow), width));
  return values;
}

/** Frames as decoded, before they are clamped and rounded, (T, 3, H, W). */
async function decodeFloats(gpu: Gpu, decoder: VAEDecoder, latents: readonly Tensor[]): Promise<number[]> {
  const rec = new Recorder(gpu);
  const input = gpu.tensor(latents[0]!.shape, "latent");
  const z = scale(rec, input, { factor: 1 / decoder.config.scaling_factor, label: "unscale" });
  const picture = decoder.forward(rec, z);
  using plan = await rec.finish([picture]);
  const values: number[] = [];
  for (const latent of latents) {
    gpu.submit((encoder) => {
      copyTensor(encoder, latent, input);
      plan.encode(encoder);
    });
    values.push(...await readPlanar(gpu, picture));
  }
  return values;
}
