import { quote } from "../checkpoint/errors.ts";
import { highestNoiseLevel, type ModelConfigs } from "../checkpoint/model_configs.ts";
import { SCHEDULER_CLASSES, type SchedulerName, schedulerName } from "../checkpoint/scheduler_config.ts";
import type { StageControl } from "./progress.ts";

/** As diffusers' pipeline of the x4-upscaler has it. */
const DEFAULT_NOISE_LEVEL = 20;

/** Settings of one clip; what is left out comes from the model's `model_index.json`. */
export interface UpscaleOptions extends StageControl {
  /** Sampling steps, 1 to the scheduler's `num_train_timesteps`. */
  readonly steps?: number | undefined;
  /** Scheduler to sample with, built from the configuration of the model's, which is the default. */
  readonly scheduler?: SchedulerName | undefined;
  /** Seed of all noise, a non-negative integer; default 42. */
  readonly seed?: number | undefined;
  /** Factor of the temporal module's residuals, 0 or more. */
  readonly conditioningScale?: number | undefined;
  /**
   * For models with classes, the class they see: how much noise they take frames to have, 0 to the model's
   * `max_noise_level`; default 20. Where the model has a `low_res_scheduler`, that much is added to each frame. Others
   * take null only.
   */
  readonly noiseLevel?: number | null | undefined;
  /** What the frames show, in words; default "". The model needs its text encoder for any other. */
  readonly prompt?: string | undefined;
  /** What they should not look like; default "". It counts only where the guidance scale is above 1. */
  readonly negativePrompt?: string | undefined;
  /** How far the prompt leads away from the negative one, 0 or more; up to 1 is not at all. */
  readonly guidanceScale?: number | undefined;
}

/** The settings of one clip in full. */
export interface ClipSettings {
  /** Sampling steps. */
  readonly steps: number;
  /** Scheduler to sample with. */
  readonly scheduler: SchedulerName;
  /** Seed of all noise. */
  readonly seed: number;
  /** Factor of the temporal module's residuals. */
  readonly conditioningScale: number;
  /** Class, and noise in the frames; null for models without classes. */
  readonly noiseLevel: number | null;
  /** What the frames show, in words. */
  readonly prompt: string;
  /** What they should not look like. */
  readonly negativePrompt: string;
  /** How far the prompt leads away from the negative one; 1 where it does not. */
  readonly guidanceScale: number;
}

/** The settings in full. Throws `RangeError` for values out of the model's range. */
export function clipSettings(configs: ModelConfigs, options: UpscaleOptions): ClipSettings {
  const { index, scheduler: { num_train_timesteps: most } } = configs;
  const { steps = index.num_inference_steps, seed = 42, conditioningScale = index.conditioning_scale } =
    options;
  const { scheduler = schedulerName(configs.scheduler) } = options;
  if (!Number.isInteger(steps) || steps < 1 || steps > most) {
    throw new RangeError(`Cannot use steps ${steps}: an integer from 1 to ${most} is wanted`);
  }
  if (!Object.hasOwn(SCHEDULER_CLASSES, scheduler)) {
    throw new RangeError(`Cannot use scheduler ${quote(scheduler)}: "ddpm" or "ddim" is wanted`);
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`Cannot use seed ${seed}: a non-negative integer up to 2^53 - 1 is wanted`);
  }
  if (!Number.isFinite(conditioningScale) || conditioningScale < 0) {
    throw new RangeError(
      `Cannot use conditioning scale ${conditioningScale}: a number of 0 or more is wanted`,
    );
  }
  return {
    steps,
    scheduler,
    seed,
    conditioningScale,
    noiseLevel: noiseLevelOf(configs, options),
    ...textOf(configs, options),
  };
}

/** The prompts that decide the frames: the prompt, and the negative one if it leads away from that, not equal to it. */
export function promptsOf({ prompt, negativePrompt, guidanceScale }: TextSettings): string[] {
  return guidanceScale > 1 && prompt !== negativePrompt ? [prompt, negativePrompt] : [prompt];
}

/** What of the settings is about text. */
type TextSettings = Pick<ClipSettings, "prompt" | "negativePrompt" | "guidanceScale">;

function textOf({ index }: ModelConfigs, options: UpscaleOptions): TextSettings {
  const { prompt = "", negativePrompt = "", guidanceScale = index.guidance_scale } = options;
  if (!Number.isFinite(guidanceScale) || guidanceScale < 0) {
    throw new RangeError(`Cannot use guidance scale ${guidanceScale}: a number of 0 or more is wanted`);
  }
  if (negativePrompt !== "" && guidanceScale <= 1) {
    throw new RangeError(
      `Cannot use negative prompt ${
        quote(negativePrompt)
      }: with guidance scale ${guidanceScale} it would not count; a guidance scale above 1 is wanted`,
    );
  }
  return { prompt, negativePrompt, guidanceScale: Math.max(guidanceScale, 1) };
}

function noiseLevelOf(configs: ModelConfigs, { noiseLevel = null }: UpscaleOptions): number | null {
  const highest = highestNoiseLevel(configs);
  if (highest === null) {
    if (noiseLevel === null) return null;
    throw new RangeError(
      `Cannot use noise level ${noiseLevel}: this model has no classes and takes none; leave it out`,
    );
  }
  const level = noiseLevel ?? Math.min(DEFAULT_NOISE_LEVEL, highest);
  if (!Number.isInteger(level) || level < 0 || level > highest) {
    throw new RangeError(`Cannot use noise level ${level}: an integer from 0 to ${highest} is wanted`);
  }
  return level;
}
