import type { SchedulerConfig } from "../checkpoint/scheduler_config.ts";
import { Scheduler } from "../diffusion/scheduler.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { add, scale } from "../kernels/elementwise.ts";
import { type Clip, copyTensor } from "./frame_store.ts";
import { PhiloxNoise } from "./noise.ts";

/** The stream of a frame's own noise; those from 0 on are the latent's and the steps'. */
export const FRAME_STREAM = 2 ** 32 - 1;

/** How much of frame and noise there is in a noised frame. */
export interface NoiseMix {
  readonly signal: number;
  readonly noise: number;
}

/** What a noised frame is computed from, and the result. */
export interface NoisedFrame {
  /** [1, h, w, 3], without memory yet. */
  readonly frame: Tensor;
  /** As `frame`. */
  readonly noise: Tensor;
  readonly output: Tensor;
}

/** A clip whose frames are noised, each the same whenever it is loaded, as the x4-upscaler wants to see them. */
export class NoisedClip implements Clip {
  readonly height: number;
  readonly width: number;
  readonly count: number;
  readonly #clip: Clip;
  readonly #noise: PhiloxNoise;
  readonly #recorded: NoisedFrame;
  readonly #plan: Plan;
  readonly #owned: DisposableStack;

  private constructor(
    clip: Clip,
    { noise, recorded, plan, owned }: {
      readonly noise: PhiloxNoise;
      readonly recorded: NoisedFrame;
      readonly plan: Plan;
      readonly owned: DisposableStack;
    },
  ) {
    this.height = clip.height;
    this.width = clip.width;
    this.count = clip.count;
    this.#clip = clip;
    this.#noise = noise;
    this.#recorded = recorded;
    this.#plan = plan;
    this.#owned = owned;
  }

  /** Noise of `seed`, in the stream FRAME_STREAM of each frame; `clip` stays the caller's. */
  static async create(
    gpu: Gpu,
    clip: Clip,
    { seed, mix }: { readonly seed: number; readonly mix: NoiseMix },
  ): Promise<NoisedClip> {
    const rec = new Recorder(gpu);
    const recorded = recordNoisedFrame(rec, frameShape(clip), mix);
    using made = new DisposableStack();
    const noise = made.use(await PhiloxNoise.create(gpu, seed, frameShape(clip)));
    for (const input of [recorded.frame, recorded.noise]) {
      gpu.allocate(input);
      made.defer(() => gpu.free(input));
    }
    const plan = made.use(await rec.finish([recorded.output]));
    return new NoisedClip(clip, { noise, recorded, plan, owned: made.move() });
  }

  /** One frame per encoder at most: its noise is drawn at once, before anything encoded here runs. */
  load(encoder: GPUCommandEncoder, index: number, target: Tensor): void {
    const { frame, noise, output } = this.#recorded;
    this.#noise.fill(noise, { frame: index, stream: FRAME_STREAM });
    this.#clip.load(encoder, index, frame);
    this.#plan.encode(encoder);
    copyTensor(encoder, output, target);
  }

  /** Frees what is its own. */
  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

/** Shape of a low-resolution frame as the networks see it. */
export function frameShape({ height, width }: Pick<Clip, "height" | "width">): number[] {
  return [1, height, width, 3];
}

/** The mix at noise level `level`, a timestep of the schedule, as diffusers' `add_noise` has it. */
export function noiseMix(config: SchedulerConfig, level: number): NoiseMix {
  const { alphasCumprod } = new Scheduler(config), alpha = alphasCumprod[level];
  if (alpha === undefined) {
    throw new RangeError(
      `Cannot use noise level ${level}: an integer from 0 to ${alphasCumprod.length - 1} is wanted`,
    );
  }
  return { signal: Math.sqrt(alpha), noise: Math.sqrt(1 - alpha) };
}

/** Records the noising of a frame of `shape`; frame and noise have no memory yet. */
export function recordNoisedFrame(rec: Recorder, shape: readonly number[], mix: NoiseMix): NoisedFrame {
  const frame = new Tensor(shape, "clean frame"), noise = new Tensor(shape, "frame noise");
  const signal = scale(rec, frame, { factor: mix.signal, label: "scale frame" });
  const scaled = scale(rec, noise, { factor: mix.noise, label: "scale frame noise" });
  return { frame, noise, output: add(rec, signal, scaled, { label: "noised frame" }) };
}
