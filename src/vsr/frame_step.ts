import type { Scheduler } from "../diffusion/scheduler.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { extrapolate } from "../kernels/elementwise.ts";
import { finiteTally } from "../kernels/finite_tally.ts";
import { keepFinite } from "../kernels/keep_finite.ts";
import { schedulerStep } from "../kernels/scheduler_step.ts";
import type { UNet } from "../models/unet.ts";
import { flowShape } from "./flows.ts";
import type { TemporalModule } from "./temporal_module.ts";
import { pictureOfTiles, type RecordedTiles, recordTiles } from "./tile_decoder.ts";

/** Classifier-free guidance: the UNet's output is moved away from what it is for a negative prompt. */
export interface TextGuidance {
  /** Embedding of the negative prompt [1, S, D]. */
  readonly negative: Tensor;
  /** How far: 0 is the negative prompt's output, 1 the prompt's. */
  readonly scale: number;
}

/** The networks of the sampling stage. */
export interface SampleNetworks {
  readonly unet: UNet;
  /** Null for frames upscaled one by one. */
  readonly temporal: TemporalModule | null;
  /** Text embedding [1, S, D]. */
  readonly context: Tensor;
  /** Null or left out where the prompt alone counts. */
  readonly textGuidance?: TextGuidance | null;
}

/** The text embeddings that a frame-step reads. */
export function contextsOf({ context, textGuidance }: SampleNetworks): Tensor[] {
  return textGuidance ? [context, textGuidance.negative] : [context];
}

/** What a frame-step makes. Once one made NaN or infinities, it and all later ones leave latent and estimate as is. */
export interface StepOutputs {
  /** The less noisy latent. */
  readonly previous: Tensor;
  /** The clean estimate. */
  readonly clean: Tensor;
  /** The aligned estimate that guided the step; null without guidance. */
  readonly guide: Tensor | null;
}

/** The outputs in one list, for `Recorder.finish()`. */
export function stepTensors({ previous, clean, guide }: StepOutputs): Tensor[] {
  return guide ? [previous, clean, guide] : [previous, clean];
}

/** The persistent tensors that a frame-step reads; written or copied to before each replay. */
export class StepInputs {
  readonly latent: Tensor;
  readonly frame: Tensor;
  readonly noise: Tensor;
  /** Clean estimate of the frame visited before. */
  readonly clean: Tensor;
  /** Its picture where that is decoded in tiles, see `recordEstimate()`; else null. */
  readonly picture: Tensor | null;
  /** Null where nothing guides. */
  readonly flow: Tensor | null;
  readonly coefficients: Tensor;
  /** Frame-steps before the first with NaN or infinities; see `finiteTally()`. Starts as zeros. */
  readonly tally: Tensor;
  readonly sinusoid: Tensor;
  readonly temporalSinusoid: Tensor | null;
  readonly classEmbedding: Tensor | null;
  readonly temporalClassEmbedding: Tensor | null;
  readonly #gpu: Gpu;
  readonly #networks: SampleNetworks;

  /** `shape` is a latent's, [1, h, w, L]. The tensors have no memory yet. */
  constructor(gpu: Gpu, shape: readonly number[], networks: SampleNetworks) {
    const [, height, width] = shape as [number, number, number];
    const { unet, temporal } = networks;
    this.#gpu = gpu;
    this.#networks = networks;
    this.latent = new Tensor(shape, "z");
    this.noise = new Tensor(shape, "noise");
    this.clean = new Tensor(shape, "clean estimate");
    this.picture = temporal?.tiling ? pictureOfTiles(shape, temporal.tiling) : null;
    this.frame = new Tensor([1, height, width, 3], "frame");
    this.flow = temporal && new Tensor(flowShape({ height, width }, temporal.flowStep), "flow");
    this.coefficients = new Tensor([1, 8], "scheduler coefficients");
    this.tally = new Tensor([1, 4], "finite frame-steps");
    this.sinusoid = new Tensor([1, 1, unet.config.block_out_channels[0]!], "sinusoid");
    this.classEmbedding = unet.config.num_class_embeds
      ? new Tensor([1, 1, 4 * unet.config.block_out_channels[0]!], "class embedding")
      : null;
    const guiding = temporal?.network.config;
    this.temporalSinusoid = guiding
      ? new Tensor([1, 1, guiding.block_out_channels[0]!], "temporal sinusoid")
      : null;
    this.temporalClassEmbedding = guiding?.num_class_embeds
      ? new Tensor([1, 1, 4 * guiding.block_out_channels[0]!], "temporal class embedding")
      : null;
  }

  /** Gives all tensors memory. */
  allocate(): void {
    for (const tensor of this.tensors) this.#gpu.allocate(tensor);
  }

  /** Writes what depends on the timestep: sinusoids and the scheduler's coefficients. */
  setTimestep(
    t: number,
    scheduler: Scheduler,
    at: { readonly timesteps: readonly number[]; readonly index: number; readonly eta: number },
  ): void {
    const { unet, temporal } = this.#networks;
    this.#gpu.write(this.sinusoid, unet.time.sinusoid(t));
    if (temporal) this.#gpu.write(this.temporalSinusoid!, temporal.network.time.sinusoid(t));
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

  /** Writes the class embedding. Throws `RangeError` for a model without classes. */
  setClass(label: number): void {
    const { unet, temporal } = this.#networks;
    if (!this.classEmbedding) {
      throw new RangeError(`Cannot use class label ${label}: this model has no classes`);
    }
    this.#gpu.write(this.classEmbedding, unet.time.classEmbedding(label));
    if (this.temporalClassEmbedding) {
      this.#gpu.write(this.temporalClassEmbedding, temporal!.network.time.classEmbedding(label));
    }
  }

  /** Frees all tensors. */
  destroy(): void {
    for (const tensor of this.tensors) this.#gpu.free(tensor);
  }

  /** All of them. */
  get tensors(): Tensor[] {
    return Object.values(this).filter((value) => value instanceof Tensor);
  }
}

/** Records what must decode the estimate in tiles before each guided frame-step; null where none is decoded so. */
export function recordEstimate<R extends Recorder>(
  { clean, picture }: StepInputs,
  { temporal }: SampleNetworks,
  newRecorder: () => R,
): RecordedTiles<R> | null {
  return picture && recordTiles(temporal!.tiling!, { shape: clean.shape, picture }, newRecorder);
}

/** Records one frame-step; with `conditioningScale` the guided one. */
export function recordStep(
  rec: Recorder,
  io: StepInputs,
  { networks, conditioningScale }: {
    readonly networks: SampleNetworks;
    readonly conditioningScale: number | null;
  },
): StepOutputs {
  const { unet, temporal, context, textGuidance } = networks;
  const guide = conditioningScale === null ? null : temporal!.align(rec, io, io.flow!);
  const guidance = guide && temporal!.guide(rec, [io.latent, io.frame, guide], {
    sinusoid: io.temporalSinusoid!,
    classEmbedding: io.temporalClassEmbedding,
    conditioningScale: conditioningScale!,
  });
  const outputFor = (context: Tensor) =>
    unet.forward(rec, [io.latent, io.frame], {
      sinusoid: io.sinusoid,
      classEmbedding: io.classEmbedding,
      context,
      guidance: guidance && guidance(context),
    });
  const output = textGuidance
    ? extrapolate(rec, [outputFor(textGuidance.negative), outputFor(context)], {
      factor: textGuidance.scale,
      label: "text guidance",
    })
    : outputFor(context);
  const stepped = schedulerStep(rec, {
    z: io.latent,
    output,
    noise: io.noise,
    coefficients: io.coefficients,
    label: "scheduler",
  });
  // The network's output too: where the scheduler clips, NaN may become a number.
  finiteTally(rec, [output, stepped.previous], { state: io.tally, label: "check step" });
  const previous = keepFinite(rec, stepped.previous, {
    old: io.latent,
    state: io.tally,
    label: "keep latent",
  });
  const clean = keepFinite(rec, stepped.clean, { old: io.clean, state: io.tally, label: "keep estimate" });
  return { previous, clean, guide };
}
