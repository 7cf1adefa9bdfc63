import { highestNoiseLevel, type ModelConfigs } from "../checkpoint/model_configs.ts";
import type { StageControl } from "./progress.ts";

/** As diffusers' pipeline of the x4-upscaler has it. */
const DEFAULT_NOISE_LEVEL = 20;

/** Settings of one clip; what is left out comes from the model's `model_index.json`. */
export interface UpscaleOptions extends StageControl {
  /** Sampling steps, 1 to the scheduler's `num_train_timesteps`. */
  readonly steps?: number | undefined;
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
}

/** The settings of one clip in full. */
export interface ClipSettings {
  /** Sampling steps. */
  readonly steps: number;
  /** Seed of all noise. */
  readonly seed: number;
  /** Factor of the temporal module's residuals. */
  readonly conditioningScale: number;
  /** Class, and noise in the frames; null for models without classes. */
  readonly noiseLevel: number | null;
}

/** The settings in full. Throws `RangeError` for values out of the model's range. */
export function clipSettings(configs: ModelConfigs, options: UpscaleOptions): ClipSettings {
  const { index, scheduler } = configs;
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
  return { steps, seed, conditioningScale, noiseLevel: noiseLevelOf(configs, options) };
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
