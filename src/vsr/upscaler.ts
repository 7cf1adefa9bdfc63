import { type ModelFolder, type ModelPart, openModelFolder } from "../checkpoint/model_folder.ts";
import { Scheduler } from "../diffusion/scheduler.ts";
import { type AdapterFacts, Gpu, type GpuOptions } from "../gpu/device.ts";
import type { DType, Tensor } from "../gpu/tensor.ts";
import type { Frame } from "../media/frame.ts";
import { decodeStage } from "./decode_stage.ts";
import { type Flows, flowStage } from "./flow_stage.ts";
import { FrameStore } from "./frame_store.ts";
import { checkNetworks, type LoadedNetwork, loadNetwork } from "./networks.ts";
import { PhiloxNoise } from "./noise.ts";
import type { StageControl } from "./progress.ts";
import { sampleStage } from "./sample_stage.ts";

/** Pixels of an output frame per pixel of an input frame, in each direction. */
export const UPSCALE_FACTOR = 4;

/** Choices of how weights are stored. */
export type Precision = "f32" | "f16" | "auto";

/** How to open an upscaler. */
export interface UpscalerOptions extends GpuOptions {
  /** Path of a model folder in diffusers' layout. */
  readonly model: string;
  /**
   * How weights are stored on the GPU; computing is in f32 always. "f16" halves their memory and changes results in
   * the third digit; "auto" is f16 on GPUs and f32 on software adapters. Default "f32".
   */
  readonly precision?: Precision | undefined;
}

/** Settings of one clip; what is left out comes from the model's `model_index.json`. */
export interface UpscaleOptions extends StageControl {
  /** Sampling steps, 1 to the scheduler's `num_train_timesteps`. */
  readonly steps?: number | undefined;
  /** Seed of all noise, a non-negative integer; default 42. */
  readonly seed?: number | undefined;
  /** Factor of the temporal module's residuals, 0 or more. */
  readonly conditioningScale?: number | undefined;
}

/**
 * A model on a GPU that upscales clips ×4. Same frames, model, settings and adapter give the same bytes.
 */
export class Upscaler {
  readonly #gpu: Gpu;
  readonly #model: ModelFolder;
  readonly #precision: DType;

  private constructor(gpu: Gpu, model: ModelFolder, precision: DType) {
    this.#gpu = gpu;
    this.#model = model;
    this.#precision = precision;
  }

  /**
   * Opens model and device. Throws `MissingModelError`, `ConfigError` or `CheckpointError` for the model and
   * `NoAdapterError` for the device.
   */
  static async open({ model, precision = "f32", ...gpuOptions }: UpscalerOptions): Promise<Upscaler> {
    const folder = await openModelFolder(model);
    const gpu = await Gpu.open(gpuOptions);
    try {
      await checkNetworks(gpu, folder);
    } catch (error) {
      gpu.close();
      throw error;
    }
    return new Upscaler(gpu, folder, precision === "auto" ? (gpu.facts.software ? "f32" : "f16") : precision);
  }

  /** The adapter in use. */
  get adapter(): AdapterFacts {
    return this.#gpu.facts;
  }

  /** The settings that `upscale()` will use. Throws `RangeError` for values out of range. */
  settings(options: UpscaleOptions = {}): { steps: number; seed: number; conditioningScale: number } {
    const { index, scheduler } = this.#model.configs;
    const { steps = index.num_inference_steps, seed = 42, conditioningScale = index.conditioning_scale } =
      options;
    if (!Number.isInteger(steps) || steps < 1 || steps > scheduler.num_train_timesteps) {
      throw new RangeError(
        `Cannot use steps ${steps}: an integer from 1 to ${scheduler.num_train_timesteps} is wanted`,
      );
    }
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`Cannot use seed ${seed}: a non-negative integer up to 2^53 - 1 is wanted`);
    }
    if (!Number.isFinite(conditioningScale) || conditioningScale < 0) {
      throw new RangeError(
        `Cannot use conditioning scale ${conditioningScale}: a number of 0 or more is wanted`,
      );
    }
    return { steps, seed, conditioningScale };
  }

  /**
   * Upscales one clip. All frames are read before the first one comes back, because sampling goes over the clip in
   * both directions; they come back in order, four times as wide and high, with the bit depth they had.
   *
   * @param frames One or more frames of one size.
   * @throws `RangeError` for settings out of range, for no frames or mixed sizes; `CheckpointError` for weights that
   * do not fit; `GpuError` when the device fails; the abort reason when `signal` aborts.
   */
  async *upscale(
    frames: Iterable<Frame> | AsyncIterable<Frame>,
    options: UpscaleOptions = {},
  ): AsyncGenerator<Frame> {
    const settings = this.settings(options);
    const gpu = this.#gpu;
    const control = { onProgress: options.onProgress, signal: options.signal };
    using store = await storeFrames(gpu, frames, options.signal);
    let flows: Flows | null = null, latents: Tensor[] = [];
    try {
      if (this.#model.configs.dgafnet && store.count > 1) flows = await this.#flows(store, control);
      latents = await this.#sample(store, flows, { ...settings, ...control });
      yield* this.#decode(latents, { ...control, bitDepth: (i) => store.bitDepth(i) });
    } finally {
      for (const flow of [...flows?.forward ?? [], ...flows?.backward ?? []]) gpu.free(flow);
      for (const latent of latents) gpu.free(latent);
    }
  }

  async #flows(store: FrameStore, control: StageControl): Promise<Flows> {
    using flow = await this.#load("flow");
    return await flowStage(this.#gpu, flow.network, { frames: store, ...control });
  }

  async #sample(
    store: FrameStore,
    flows: Flows | null,
    options: StageControl & {
      readonly steps: number;
      readonly seed: number;
      readonly conditioningScale: number;
    },
  ): Promise<Tensor[]> {
    const gpu = this.#gpu, model = this.#model;
    using unet = await this.#load("unet");
    using dgafnet = flows && await this.#load("dgafnet");
    const { data, shape } = await model.readEmptyPrompt();
    const context = gpu.tensor([1, ...shape], "prompt", data);
    try {
      const noiseShape = [1, store.height, store.width, unet.network.config.out_channels];
      using noise = await PhiloxNoise.create(gpu, options.seed, noiseShape);
      const networks = { unet: unet.network, dgafnet: dgafnet?.network ?? null, context };
      const scheduler = new Scheduler(model.configs.scheduler);
      return await sampleStage(gpu, networks, { ...options, frames: store, flows, noise, scheduler });
    } finally {
      gpu.free(context);
    }
  }

  async *#decode(
    latents: readonly Tensor[],
    options: StageControl & { readonly bitDepth: (frame: number) => 8 | 16 },
  ): AsyncGenerator<Frame> {
    using vae = await this.#load("vae");
    yield* decodeStage(this.#gpu, vae.network, { latents, ...options });
  }

  #load<P extends ModelPart>(part: P): Promise<LoadedNetwork<P>> {
    return loadNetwork(this.#gpu, { model: this.#model, part, precision: this.#precision });
  }

  /** Destroys the device; the upscaler cannot be used afterwards. */
  close(): void {
    this.#gpu.close();
  }

  /** Same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

async function storeFrames(
  gpu: Gpu,
  frames: Iterable<Frame> | AsyncIterable<Frame>,
  signal: AbortSignal | undefined,
): Promise<FrameStore> {
  let store: FrameStore | null = null;
  try {
    for await (const frame of frames) {
      signal?.throwIfAborted();
      store ??= new FrameStore(gpu, frame);
      await store.add(frame);
    }
    if (!store) throw new RangeError("Cannot upscale a clip without frames: at least one is wanted");
    return store;
  } catch (error) {
    store?.destroy();
    throw error;
  }
}
