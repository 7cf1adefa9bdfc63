import { type ModelFolder, openModelFolder } from "../checkpoint/model_folder.ts";
import { WeightView } from "../checkpoint/weight_view.ts";
import { Scheduler } from "../diffusion/scheduler.ts";
import { type AdapterFacts, Gpu, type GpuOptions } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Frame } from "../media/frame.ts";
import { DGAFNet } from "../models/dgafnet.ts";
import { RAFT } from "../models/raft.ts";
import { UNet } from "../models/unet.ts";
import { VAEDecoder } from "../models/vae.ts";
import { Weights } from "../nn/weights.ts";
import { decodeStage } from "./decode_stage.ts";
import { type Flows, flowStage } from "./flow_stage.ts";
import { FrameStore } from "./frame_store.ts";
import { PhiloxNoise } from "./noise.ts";
import type { StageControl } from "./progress.ts";
import { sampleStage } from "./sample_stage.ts";

/** Pixels of an output frame per pixel of an input frame, in each direction. */
export const UPSCALE_FACTOR = 4;

/** How to open an upscaler. */
export interface UpscalerOptions extends GpuOptions {
  /** Path of a model folder in diffusers' layout. */
  readonly model: string;
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

  private constructor(gpu: Gpu, model: ModelFolder) {
    this.#gpu = gpu;
    this.#model = model;
  }

  /**
   * Opens model and device. Throws `MissingModelError`, `ConfigError` or `CheckpointError` for the model and
   * `NoAdapterError` for the device.
   */
  static async open({ model, ...gpuOptions }: UpscalerOptions): Promise<Upscaler> {
    const folder = await openModelFolder(model);
    return new Upscaler(await Gpu.open(gpuOptions), folder);
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
    return await this.#withNetwork("flow", (w) => new RAFT(w, this.#model.configs.flow!), async (raft) => {
      return await flowStage(this.#gpu, raft, { frames: store, ...control });
    });
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
    const gpu = this.#gpu, { configs } = this.#model;
    const { data, shape } = await this.#model.readEmptyPrompt();
    const context = gpu.tensor([1, ...shape], "prompt", data);
    const noiseShape = [1, store.height, store.width, configs.unet.out_channels];
    const noise = await PhiloxNoise.create(gpu, options.seed, noiseShape);
    const scheduler = new Scheduler(configs.scheduler);
    const run = (unet: UNet, dgafnet: DGAFNet | null) =>
      sampleStage(gpu, { unet, dgafnet, context }, { ...options, frames: store, flows, noise, scheduler });
    try {
      return await this.#withNetwork("unet", (w) => new UNet(w, configs.unet), async (unet) => {
        if (!configs.dgafnet || !flows) return await run(unet, null);
        return await this.#withNetwork(
          "dgafnet",
          (w) => new DGAFNet(w, configs.dgafnet!),
          (d) => run(unet, d),
        );
      });
    } finally {
      noise.destroy();
      gpu.free(context);
    }
  }

  async *#decode(
    latents: readonly Tensor[],
    options: StageControl & { readonly bitDepth: (frame: number) => 8 | 16 },
  ): AsyncGenerator<Frame> {
    using source = await this.#model.openWeights("vae");
    const weights = new Weights(this.#gpu, new WeightView(source), "vae");
    try {
      const decoder = new VAEDecoder(weights, this.#model.configs.vae);
      await weights.load();
      yield* decodeStage(this.#gpu, decoder, { latents, ...options });
    } finally {
      weights.free();
    }
  }

  /** Builds and loads a network, hands it to `use`, and frees its weights. */
  async #withNetwork<N, R>(
    part: "unet" | "dgafnet" | "flow",
    build: (w: Weights) => N,
    use: (network: N) => Promise<R>,
  ): Promise<R> {
    using source = await this.#model.openWeights(part);
    const weights = new Weights(this.#gpu, new WeightView(source), part);
    try {
      const network = build(weights);
      await weights.load();
      return await use(network);
    } finally {
      weights.free();
    }
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
