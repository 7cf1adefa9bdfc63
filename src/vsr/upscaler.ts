import { type ModelFolder, type ModelPart, openModelFolder } from "../checkpoint/model_folder.ts";
import { withScheduler } from "../checkpoint/scheduler_config.ts";
import { Scheduler } from "../diffusion/scheduler.ts";
import { type AdapterFacts, Gpu, type GpuOptions } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Frame } from "../media/frame.ts";
import type { VAEDecoder } from "../models/vae.ts";
import { type ClipSettings, clipSettings, promptsOf, type UpscaleOptions } from "./clip_settings.ts";
import { type DecodeOptions, decodeStage } from "./decode_stage.ts";
import { estimateTime, type StageTime } from "./estimate_time.ts";
import { type DiskNeed, diskNeed } from "./disk_need.ts";
import { embedPrompts, type KnownPrompts } from "./encode_prompts.ts";
import { type FlowOptions, flowStage } from "./flow_stage.ts";
import { directionsOf, type Flows, flowShape } from "./flows.ts";
import { FrameStore } from "./frame_store.ts";
import { hashFile } from "./hash_file.ts";
import { loadFlows, loadSamples, type PromptEmbedding, type Samples } from "./job_state.ts";
import { makeManifest, type Manifest } from "./manifest.ts";
import {
  fitMemory,
  type FittedPlan,
  initialSettings,
  type MemoryWishes,
  type Precision,
} from "./memory_limit.ts";
import type { ClipOutline, MemorySettings } from "./memory_plan.ts";
import { checkNetworks, type LoadedNetwork, loadNetwork, loadTemporal, openOutline } from "./networks.ts";
import { PhiloxNoise } from "./noise.ts";
import { NoisedClip, noiseMix } from "./noised_clip.ts";
import type { StageControl } from "./progress.ts";
import { sampleStage } from "./sample_stage.ts";
import { flowStepOf } from "./temporal_module.ts";
import { CLIPTokenizer } from "../text/clip_tokenizer.ts";
import { keepTuning, openTuning, type TuningOptions } from "./tuning_cache.ts";

/** Pixels of an output frame per pixel of an input frame, in each direction. */
export const UPSCALE_FACTOR = 4;

/** How to open an upscaler. */
export interface UpscalerOptions extends GpuOptions {
  /** Path of a model folder in diffusers' layout. */
  readonly model: string;
  /** Path of RAFT's weights to use instead of the model's: a folder like its `flow/`, or one file. */
  readonly flow?: string | undefined;
  /** Path of a temporal module to use instead of the model's: a folder like its `dgafnet/` or `controlnet/`. */
  readonly temporal?: string | undefined;
  /**
   * How weights are stored on the GPU; computing is in f32 always. "f16" halves their memory and changes results in
   * the third digit; "auto" is f16 on GPUs and f32 on software adapters unless memory is short. Default "f32".
   */
  readonly precision?: Precision | undefined;
  /**
   * Bytes of GPU memory that may be allocated at a time, besides what the driver takes for itself; default no limit.
   * `plan()` says what is done to keep to it.
   */
  readonly maxGpuMemory?: number | undefined;
  /**
   * Whether frames, and the estimates that a ControlNet sees, may be decoded in overlapping tiles where memory is
   * short or the GPU cannot hold what a whole one takes. Each tile is normalised by itself, so the result differs slightly from that of whole frames. Default false.
   */
  readonly vaeTiling?: boolean | undefined;
  /** Whether to measure which kernels are the fastest, and where to keep that. Default: mode "off". */
  readonly tuning?: TuningOptions | undefined;
}

/** What each stage is given. */
interface StageOptions extends StageControl {
  readonly memory: MemorySettings;
  /** The decoder: loaded by the first stage that asks, kept until the last one ends. */
  readonly vae: () => Promise<VAEDecoder>;
}

/**
 * A model on a GPU that upscales clips ×4. Same frames, model, settings and adapter give the same bytes.
 */
export class Upscaler {
  readonly #gpu: Gpu;
  readonly #model: ModelFolder;
  readonly #wishes: MemoryWishes;
  readonly #tuning: TuningOptions;
  readonly #prompts: KnownPrompts = new Map();
  /** The last plan: `upscale()` wants the one that was asked for before. */
  #planned: { readonly key: string; readonly plan: FittedPlan } | null = null;

  private constructor(
    gpu: Gpu,
    model: ModelFolder,
    { wishes, tuning }: { readonly wishes: MemoryWishes; readonly tuning: TuningOptions },
  ) {
    this.#gpu = gpu;
    this.#model = model;
    this.#wishes = wishes;
    this.#tuning = tuning;
  }

  /**
   * Opens model and device. Throws `MissingModelError`, `ConfigError` or `CheckpointError` for the model and
   * `NoAdapterError` for the device, also if tuning is forced and the device cannot time its work.
   */
  static async open(
    {
      model,
      flow,
      temporal,
      precision = "f32",
      maxGpuMemory,
      vaeTiling = false,
      tuning = { mode: "off" },
      ...gpuOptions
    }: UpscalerOptions,
  ): Promise<Upscaler> {
    if (maxGpuMemory !== undefined && !(maxGpuMemory > 0)) {
      throw new RangeError(`Cannot use maxGpuMemory ${maxGpuMemory}: a positive number of bytes is wanted`);
    }
    const folder = await openModelFolder(model, { flow, temporal });
    const gpu = await Gpu.open(gpuOptions);
    try {
      gpu.tuning = await openTuning(gpu.facts, tuning);
      await checkNetworks(gpu, folder);
    } catch (error) {
      gpu.close();
      throw error;
    }
    return new Upscaler(gpu, folder, { wishes: { precision, maxGpuMemory, vaeTiling }, tuning });
  }

  /** The adapter in use. */
  get adapter(): AdapterFacts {
    return this.#gpu.facts;
  }

  /**
   * The settings that `upscale()` will use. Throws `RangeError` for values out of range, `MissingModelError` or
   * `ConfigError` for a prompt that the model cannot encode.
   */
  settings(options: UpscaleOptions = {}): ClipSettings {
    const settings = clipSettings(this.#model.configs, options);
    for (const prompt of promptsOf(settings)) this.#model.needsTextEncoder(prompt);
    return settings;
  }

  /** The ends of prompts that the text encoder has no room for, one for each prompt that is too long. */
  cutText(options: UpscaleOptions = {}): string[] {
    const { textEncoder } = this.#model;
    if (textEncoder === null) return [];
    const prompts = promptsOf(this.settings(options)).filter(Boolean);
    if (prompts.length === 0) return [];
    const tokenizer = new CLIPTokenizer(textEncoder.vocabulary); // takes a while with a vocabulary of full size
    return prompts.map((prompt) => tokenizer.encode(prompt).cut).filter(Boolean);
  }

  /**
   * Computes what `upscale()` will need for a clip, and what it will do to keep to limits. Loads and allocates
   * nothing. Throws `LimitError` that says what would fit if there is no way, `RangeError` for settings out of range.
   */
  async plan(clip: ClipOutline, options: UpscaleOptions = {}): Promise<FittedPlan> {
    const settings = this.settings(options), prompts = promptsOf(settings), model = this.#model;
    const text = {
      shapes: await Promise.all(prompts.map((prompt) => model.promptShape(prompt))),
      encoded: prompts.filter((prompt) => model.needsTextEncoder(prompt)).length,
    };
    const { steps } = settings, { height, width, bitDepths } = clip;
    const key = JSON.stringify({ height, width, bitDepths, steps, text });
    if (this.#planned?.key === key) return this.#planned.plan;
    using outline = await openOutline(this.#gpu, model);
    const plan = fitMemory(this.#gpu, outline, { clip, steps, text, wishes: this.#wishes });
    this.#planned = { key, plan };
    return plan;
  }

  /** How long the stages of a planned clip will take, by short trials on this device; rough, see `StageTime`. */
  async estimateTime(clip: ClipOutline, plan: FittedPlan): Promise<StageTime[]> {
    using outline = await openOutline(this.#gpu, this.#model);
    return await estimateTime(this.#gpu, outline, { ...plan, ...clip });
  }

  /** What `upscale()` with a job will write to disk for a clip. */
  diskNeed(clip: ClipOutline): DiskNeed {
    const { configs } = this.#model;
    return diskNeed(clip, { latentChannels: configs.unet.out_channels, flowStep: flowStepOf(configs) });
  }

  /**
   * What a job of this upscaler is of, for `JobFolder`: all that decides its output. `inputs` is the SHA-256 of each
   * input frame by name. Reads all files of the model.
   */
  async manifest(inputs: Readonly<Record<string, string>>, options: UpscaleOptions = {}): Promise<Manifest> {
    const model: Record<string, string> = {};
    for (const [name, path] of await this.#model.files()) model[name] = await hashFile(path);
    const { precision, vaeTiling, maxGpuMemory = null } = this.#wishes;
    const settings = {
      ...this.settings(options),
      precision: initialSettings(this.#gpu, this.#wishes).precision,
      vaeTiling,
      // Else a limit changes no byte, and an unfinished job can go on with less memory.
      maxGpuMemory: vaeTiling || precision === "auto" ? maxGpuMemory : null,
    };
    return makeManifest({ adapter: this.adapter.description, settings, model, inputs: { ...inputs } });
  }

  /**
   * Upscales one clip. All frames are read before the first one comes back, because sampling goes over the clip in
   * both directions; they come back in order, four times as wide and high, with the bit depth they had. With a `job`,
   * work that is kept there is not done again, and frames that are done there do not come back.
   *
   * @param frames One or more frames of one size.
   * @throws `RangeError` for settings out of range, for no frames or mixed sizes; `CheckpointError` for weights that
   * do not fit; `LimitError` where `maxGpuMemory` does not suffice, or the GPU cannot hold a tensor; `GpuError` when
   * the device fails; `NonFiniteError` or `BlankFrameError` where no picture comes out; the abort reason when `signal` aborts.
   */
  async *upscale(
    frames: Iterable<Frame> | AsyncIterable<Frame>,
    options: UpscaleOptions = {},
  ): AsyncGenerator<Frame> {
    const settings = this.settings(options);
    const gpu = this.#gpu, { job, onProgress, signal } = options;
    using store = await storeFrames(gpu, frames, signal);
    const memory = await this.#memory(store, options);
    using loaded = new DisposableStack();
    let decoder: VAEDecoder | null = null;
    const vae = async () => decoder ??= loaded.use(await this.#load("vae", memory)).network;
    const control = { job, onProgress, signal, memory, vae };
    let kept: Samples | null = null, flows: Flows | null = null, latents: readonly Tensor[] = [];
    try {
      const { configs } = this.#model, { count, height, width } = store;
      const shape = [1, height, width, configs.unet.out_channels];
      kept = job ? await loadSamples(gpu, job, { shape, count }) : null;
      if (kept?.done === settings.steps * count) {
        latents = kept.latents;
      } else {
        // Before the networks, so that the text encoder's weights are never on the GPU beside theirs.
        const prompts = await embedPrompts(gpu, this.#model, {
          prompts: promptsOf(settings),
          known: this.#prompts,
          job,
          onProgress,
          ...control.memory,
        });
        const step = flowStepOf(configs);
        if (step && count > 1) {
          const directions = directionsOf(settings.steps);
          flows = job
            ? await loadFlows(gpu, job, { shape: flowShape(store, step), count, directions })
            : null;
          flows = await this.#flows(store, { ...control, directions, step, kept: flows });
        }
        latents = await this.#sample(store, flows, { ...settings, ...control, prompts, kept });
        freeFlows(gpu, flows);
        flows = null;
      }
      const inputs = {
        bitDepth: (i: number) => store.bitDepth(i),
        isBlank: (i: number) => store.isBlank(i),
      };
      yield* this.#decode(latents, { ...control, ...inputs });
      await gpu.done(); // whatever went wrong unnoticed must not look like success
    } finally {
      // A process that ends while shaders of a software adapter still run may crash.
      await gpu.done().catch(() => {});
      freeFlows(gpu, flows);
      for (const latent of [...kept?.latents ?? [], ...latents]) gpu.free(latent);
      if (kept) gpu.free(kept.clean);
      await keepTuning(gpu.tuning, { facts: gpu.facts, options: this.#tuning });
    }
  }

  async #memory(store: FrameStore, options: UpscaleOptions): Promise<MemorySettings> {
    const { precision, maxGpuMemory, vaeTiling } = this.#wishes;
    // Without a limit of its own only the GPU's can be exceeded, and bands do not help there.
    if (maxGpuMemory === undefined && precision !== "auto" && !vaeTiling) {
      return initialSettings(this.#gpu, this.#wishes);
    }
    const bitDepths = Array.from({ length: store.count }, (_, i) => store.bitDepth(i));
    const { height, width } = store;
    return (await this.plan({ height, width, bitDepths }, options)).settings;
  }

  async #flows(
    store: FrameStore,
    options: StageOptions & Pick<FlowOptions, "directions" | "step"> & { readonly kept: Flows | null },
  ): Promise<Flows> {
    const { kept } = options;
    if (kept?.forward.length === store.count - 1) return kept;
    using flow = await this.#load("flow", options.memory);
    return await flowStage(this.#gpu, flow.network, { frames: store, ...options });
  }

  async #sample(
    store: FrameStore,
    flows: Flows | null,
    options: StageOptions & ClipSettings & {
      readonly prompts: readonly PromptEmbedding[];
      readonly kept: Samples | null;
    },
  ): Promise<Tensor[]> {
    const gpu = this.#gpu, model = this.#model;
    using unet = await this.#load("unet", options.memory);
    using temporal = flows && await loadTemporal(gpu, { model, vae: options.vae, ...options.memory });
    const [context, negative] = options.prompts.map(({ data, shape }, i) =>
      gpu.tensor([1, ...shape], `prompt ${i}`, data)
    );
    try {
      const noiseShape = [1, store.height, store.width, unet.network.config.out_channels];
      using noise = await PhiloxNoise.create(gpu, options.seed, noiseShape);
      const networks = {
        unet: unet.network,
        temporal: temporal?.module ?? null,
        context: context!,
        textGuidance: negative ? { negative, scale: options.guidanceScale } : null,
      };
      using noised = await this.#noised(store, options);
      return await sampleStage(gpu, networks, {
        ...options,
        frames: noised ?? store,
        flows,
        noise,
        scheduler: new Scheduler(withScheduler(model.configs.scheduler, options.scheduler)),
        classLabel: options.noiseLevel,
      });
    } finally {
      for (const prompt of [context, negative]) if (prompt) gpu.free(prompt);
    }
  }

  /** The frames as a model with noise levels wants to see them; null where it wants them as they are. */
  async #noised(store: FrameStore, { seed, noiseLevel }: ClipSettings): Promise<NoisedClip | null> {
    const config = this.#model.configs.low_res_scheduler;
    if (config === null || noiseLevel === null) return null;
    return await NoisedClip.create(this.#gpu, store, { seed, mix: noiseMix(config, noiseLevel) });
  }

  async *#decode(
    latents: readonly Tensor[],
    options: StageOptions & Pick<DecodeOptions, "bitDepth" | "isBlank">,
  ): AsyncGenerator<Frame> {
    const { memory, vae } = options;
    yield* decodeStage(this.#gpu, await vae(), { latents, tile: memory.tile, ...options });
  }

  #load<P extends ModelPart>(part: P, memory: MemorySettings): Promise<LoadedNetwork<P>> {
    return loadNetwork(this.#gpu, { model: this.#model, part, ...memory });
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

function freeFlows(gpu: Gpu, flows: Flows | null): void {
  for (const flow of [...flows?.forward ?? [], ...flows?.backward ?? []]) gpu.free(flow);
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
