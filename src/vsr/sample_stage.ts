import type { Scheduler } from "../diffusion/scheduler.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { ogwm } from "../kernels/flow_warp.ts";
import { schedulerStep } from "../kernels/scheduler_step.ts";
import type { DGAFNet } from "../models/dgafnet.ts";
import type { UNet } from "../models/unet.ts";
import type { Flows } from "./flow_stage.ts";
import { type Clip, copyTensor } from "./frame_store.ts";
import type { Noise } from "./noise.ts";
import { Pacer } from "./pacer.ts";
import type { StageControl } from "./progress.ts";

/** Factor at which OGWM warps the latent estimate; the paper's ablation chose 4. */
const OGWM_FACTOR = 4;

/** The networks of the sampling stage. */
export interface SampleNetworks {
  readonly unet: UNet;
  /** Null for frames upscaled one by one. */
  readonly dgafnet: DGAFNet | null;
  /** Text embedding [1, S, D]. */
  readonly context: Tensor;
}

/** What the sampling stage works on. */
export interface SampleInputs {
  readonly frames: Clip;
  /** Flows between neighbours; null without temporal guidance. */
  readonly flows: Flows | null;
  readonly noise: Noise;
}

export interface SampleOptions extends StageControl {
  readonly scheduler: Scheduler;
  /** Number of sampling steps. */
  readonly steps: number;
  /** Factor of DGAFNet's residuals. */
  readonly conditioningScale: number;
  /** Class label, for models that have classes. */
  readonly classLabel?: number | null;
  /** DDIM's η, default 0. */
  readonly eta?: number;
  /** Called after each frame-step, for tests and diagnosis. */
  readonly onStep?: (
    at: { step: number; frame: number; latent: Tensor; clean: Tensor; guide: Tensor | null },
  ) =>
    | void
    | Promise<void>;
}

interface StepPlan {
  readonly plan: Plan;
  readonly previous: Tensor;
  readonly clean: Tensor;
  readonly guide: Tensor | null;
}

/**
 * Frame-wise Bidirectional Sampling: for each timestep, every frame in the current direction (which alternates);
 * each frame is guided by the clean estimate of the one visited before it, warped along the flow between the two.
 * Returns one latent [1, h, w, L] per frame, which the caller frees.
 */
export async function sampleStage(
  gpu: Gpu,
  networks: SampleNetworks,
  inputs: SampleInputs & SampleOptions,
): Promise<Tensor[]> {
  const { frames, flows, noise, scheduler, steps, signal } = inputs;
  const { height, width, count } = frames;
  const channels = networks.unet.config.out_channels;
  const shape = [1, height, width, channels];
  const io = new StepInputs(gpu, shape, networks);
  const timesteps = scheduler.timesteps(steps);
  const latents: Tensor[] = [];
  const plans: StepPlan[] = [];
  try {
    const alone = await recordStep(gpu, io, networks, null);
    plans.push(alone);
    const guided = networks.dgafnet && count > 1
      ? await recordStep(gpu, io, networks, inputs.conditioningScale)
      : null;
    if (guided) plans.push(guided);
    if (inputs.classLabel !== undefined && inputs.classLabel !== null) io.setClass(inputs.classLabel);
    for (let frame = 0; frame < count; frame++) {
      const latent = gpu.tensor(shape, `latent ${frame}`);
      noise.fill(latent, { frame, stream: 0 });
      latents.push(latent);
    }
    const pacer = new Pacer(gpu);
    const total = steps * count;
    let done = 0;
    inputs.onProgress?.({ stage: "sample", done, total });
    for (const [step, t] of timesteps.entries()) {
      io.setTimestep(t, scheduler, { timesteps, index: step, eta: inputs.eta ?? 0 });
      const forward = step % 2 === 0;
      for (let visit = 0; visit < count; visit++) {
        signal?.throwIfAborted();
        const frame = forward ? visit : count - 1 - visit;
        const { plan, previous, clean, guide } = visit > 0 && guided ? guided : alone;
        noise.fill(io.noise, { frame, stream: step + 1 });
        await pacer.submit([
          (encoder) => {
            frames.load(encoder, frame, io.frame);
            copyTensor(encoder, latents[frame]!, io.latent);
            if (!guide) return;
            copyTensor(encoder, forward ? flows!.forward[frame - 1]! : flows!.backward[frame]!, io.flow);
          },
          plan,
          (encoder) => {
            copyTensor(encoder, previous, latents[frame]!);
            copyTensor(encoder, clean, io.clean);
          },
        ], signal);
        await inputs.onStep?.({ step, frame, latent: latents[frame]!, clean: io.clean, guide });
        done += await pacer.submitted();
        inputs.onProgress?.({ stage: "sample", done, total });
      }
    }
    await pacer.drain();
    inputs.onProgress?.({ stage: "sample", done: total, total });
    return latents;
  } catch (error) {
    for (const latent of latents) gpu.free(latent);
    throw error;
  } finally {
    for (const { plan } of plans) plan.destroy();
    io.destroy();
  }
}

/** The persistent tensors that a frame-step reads; written or copied to before each replay. */
class StepInputs {
  readonly latent: Tensor;
  readonly frame: Tensor;
  readonly noise: Tensor;
  /** Clean estimate of the frame visited before. */
  readonly clean: Tensor;
  readonly flow: Tensor;
  readonly coefficients: Tensor;
  readonly sinusoid: Tensor;
  readonly dgafnetSinusoid: Tensor | null;
  readonly classEmbedding: Tensor | null;
  readonly dgafnetClassEmbedding: Tensor | null;
  readonly #gpu: Gpu;
  readonly #networks: SampleNetworks;

  constructor(gpu: Gpu, shape: readonly number[], networks: SampleNetworks) {
    const [, height, width] = shape as [number, number, number];
    const { unet, dgafnet } = networks;
    this.#gpu = gpu;
    this.#networks = networks;
    this.latent = gpu.tensor(shape, "z");
    this.noise = gpu.tensor(shape, "noise");
    this.clean = gpu.tensor(shape, "clean estimate");
    this.frame = gpu.tensor([1, height, width, 3], "frame");
    this.flow = gpu.tensor([1, height, width, 2], "flow");
    this.coefficients = gpu.tensor([1, 8], "scheduler coefficients");
    this.sinusoid = gpu.tensor([1, 1, unet.config.block_out_channels[0]!], "sinusoid");
    this.classEmbedding = unet.config.num_class_embeds
      ? gpu.tensor([1, 1, 4 * unet.config.block_out_channels[0]!], "class embedding")
      : null;
    this.dgafnetSinusoid = dgafnet &&
      gpu.tensor([1, 1, dgafnet.config.block_out_channels[0]!], "dgafnet sinusoid");
    this.dgafnetClassEmbedding = dgafnet?.config.num_class_embeds
      ? gpu.tensor([1, 1, 4 * dgafnet.config.block_out_channels[0]!], "dgafnet class embedding")
      : null;
  }

  /** Writes what depends on the timestep: sinusoids and the scheduler's coefficients. */
  setTimestep(
    t: number,
    scheduler: Scheduler,
    at: { readonly timesteps: readonly number[]; readonly index: number; readonly eta: number },
  ): void {
    const { unet, dgafnet } = this.#networks;
    this.#gpu.write(this.sinusoid, unet.time.sinusoid(t));
    if (dgafnet) this.#gpu.write(this.dgafnetSinusoid!, dgafnet.time.sinusoid(t));
    const c = scheduler.step(at.timesteps, at.index, { eta: at.eta });
    const clip = Math.min(c.clip, 3.4e38); // WGSL need not support infinities
    const row = [
      c.x0FromSample,
      c.x0FromOutput,
      clip,
      c.prevFromX0,
      c.prevFromSample,
      c.prevFromOutput,
      c.prevFromNoise,
    ];
    this.#gpu.write(this.coefficients, Float32Array.from([...row, 0]));
  }

  setClass(label: number): void {
    const { unet, dgafnet } = this.#networks;
    if (!this.classEmbedding) {
      throw new RangeError(`Cannot use class label ${label}: this model has no classes`);
    }
    this.#gpu.write(this.classEmbedding, unet.time.classEmbedding(label));
    if (this.dgafnetClassEmbedding) {
      this.#gpu.write(this.dgafnetClassEmbedding, dgafnet!.time.classEmbedding(label));
    }
  }

  destroy(): void {
    for (const value of Object.values(this)) if (value?.storage) this.#gpu.free(value);
  }
}

/** Records one frame-step; with `conditioningScale` the guided one. */
async function recordStep(
  gpu: Gpu,
  io: StepInputs,
  { unet, dgafnet, context }: SampleNetworks,
  conditioningScale: number | null,
): Promise<StepPlan> {
  const rec = new Recorder(gpu);
  const guide = conditioningScale === null
    ? null
    : ogwm(rec, io.clean, io.flow, { factor: OGWM_FACTOR, mode: "bilinear", label: "ogwm" });
  const guidance = guide && dgafnet!.forward(rec, [io.latent, io.frame, guide], {
    sinusoid: io.dgafnetSinusoid!,
    classEmbedding: io.dgafnetClassEmbedding,
    conditioningScale: conditioningScale!,
  });
  const output = unet.forward(rec, [io.latent, io.frame], {
    sinusoid: io.sinusoid,
    classEmbedding: io.classEmbedding,
    context,
    guidance,
  });
  const { previous, clean } = schedulerStep(rec, {
    z: io.latent,
    output,
    noise: io.noise,
    coefficients: io.coefficients,
    label: "scheduler",
  });
  const outputs = guide ? [previous, clean, guide] : [previous, clean];
  return { plan: await rec.finish(outputs), previous, clean, guide };
}
