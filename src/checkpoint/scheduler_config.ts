import * as v from "valibot";
import { integer, only, parseConfig, real } from "./config_schema.ts";

/** What settings call a scheduler. */
export type SchedulerName = "ddpm" | "ddim";
/** diffusers' classes of them. */
export const SCHEDULER_CLASSES = {
  ddpm: "DDPMScheduler",
  ddim: "DDIMScheduler",
} as const satisfies Record<SchedulerName, string>;

/** Configuration of diffusers' `DDPMScheduler` or `DDIMScheduler`, as far as it is supported. */
export interface SchedulerConfig {
  readonly class_name: "DDPMScheduler" | "DDIMScheduler";
  /** Length of the noise schedule; timesteps count from 0 to one less. */
  readonly num_train_timesteps: number;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: "linear" | "scaled_linear";
  /** What the network's output estimates. */
  readonly prediction_type: "epsilon" | "v_prediction" | "sample";
  /** Whether the clean estimate is clamped to ±`clip_sample_range`. */
  readonly clip_sample: boolean;
  readonly clip_sample_range: number;
  readonly timestep_spacing: "leading" | "linspace" | "trailing";
  /** Added to every timestep, for spacing `leading` only. A non-negative integer. */
  readonly steps_offset: number;
  /** DDIM only: whether the last step ends at ᾱ = 1 instead of the schedule's first ᾱ. */
  readonly set_alpha_to_one: boolean;
}

const schema = v.object({
  _class_name: v.optional(v.picklist(Object.values(SCHEDULER_CLASSES)), "DDPMScheduler"),
  num_train_timesteps: v.optional(integer(1, 100_000), 1000),
  beta_start: v.optional(real(0, 0.999, { above: true }), 1e-4),
  beta_end: v.optional(real(0, 0.999, { above: true }), 0.02),
  beta_schedule: v.optional(v.picklist(["linear", "scaled_linear"]), "linear"),
  prediction_type: v.optional(v.picklist(["epsilon", "sample", "v_prediction"]), "epsilon"),
  variance_type: only("fixed_small"),
  clip_sample: v.optional(v.boolean(), true),
  clip_sample_range: v.optional(real(0, 1e6, { above: true }), 1),
  timestep_spacing: v.optional(v.picklist(["leading", "linspace", "trailing"]), "leading"),
  steps_offset: v.optional(integer(0, 100_000), 0),
  set_alpha_to_one: v.optional(v.boolean(), true),
});

/** Details of thresholding, which is refused itself, and a key of another scheduler that SD 2 checkpoints carry. */
const HARMLESS = ["dynamic_thresholding_ratio", "sample_max_value", "skip_prk_steps"];

/**
 * Parses `scheduler/scheduler_config.json`; missing keys get diffusers' defaults. `where` is what errors call the
 * file. Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseSchedulerConfig(json: unknown, where: string): SchedulerConfig {
  const { _class_name, variance_type: _, ...raw } = parseConfig(schema, json, {
    where,
    harmless: HARMLESS,
    check: problemsBetweenKeys,
  });
  return { class_name: _class_name, ...raw };
}

/** What settings call the scheduler of a configuration. */
export function schedulerName({ class_name }: SchedulerConfig): SchedulerName {
  return class_name === SCHEDULER_CLASSES.ddpm ? "ddpm" : "ddim";
}

/**
 * The configuration of another scheduler as diffusers' `from_config` makes it. Both classes take the same keys with the
 * same defaults, but for `set_alpha_to_one`, which DDPM passes on unused, and `variance_type`, of which only DDPM's
 * default is supported.
 */
export function withScheduler(config: SchedulerConfig, name: SchedulerName): SchedulerConfig {
  return { ...config, class_name: SCHEDULER_CLASSES[name] };
}

function problemsBetweenKeys(raw: v.InferOutput<typeof schema>): string[] {
  const problems: string[] = [];
  if (raw.beta_end < raw.beta_start) {
    problems.push(`beta_end is ${raw.beta_end}, wanted at least beta_start, ${raw.beta_start}`);
  }
  if (raw.steps_offset >= raw.num_train_timesteps) {
    problems.push(
      `steps_offset is ${raw.steps_offset}, wanted less than num_train_timesteps, ${raw.num_train_timesteps}`,
    );
  }
  return problems;
}
