import * as v from "valibot";
import { integer, parseConfig, real } from "./config_schema.ts";

/** What `model_index.json` says beside the list of parts. */
export interface ModelIndex {
  /** The pipeline that the folder was saved from; null if the index does not name it. */
  readonly pipeline_class: string | null;
  /** The scheduler's class; null if the index does not name it. */
  readonly scheduler_class: string | null;
  /** Whether there is a schedule of the noise that is added to low-resolution frames, for a UNet with classes. */
  readonly low_res_scheduler: boolean;
  /** Sampling steps the model was made for. */
  readonly num_inference_steps: number;
  /** What the temporal module's residuals are multiplied with. */
  readonly conditioning_scale: number;
  /** How far text guidance goes where a prompt is given; 1 is none. */
  readonly guidance_scale: number;
  /** Largest noise level that the model was trained for, where it has such levels. */
  readonly max_noise_level: number;
}

/** The pipeline of the Stable-Diffusion-x4-upscaler. */
export const X4_PIPELINE = "StableDiffusionUpscalePipeline";
/** What diffusers' pipelines take where nobody says otherwise. */
const DEFAULT_STEPS = 50, DEFAULT_X4_STEPS = 75, DEFAULT_X4_GUIDANCE = 9;

const schema = v.object({
  _class_name: v.optional(v.nullable(v.string()), null),
  unet: component(["UNet2DConditionModel"]),
  vae: component(["AutoencoderKL"]),
  scheduler: component(["DDPMScheduler", "DDIMScheduler"]),
  low_res_scheduler: component(["DDPMScheduler", "DDIMScheduler"]),
  dgafnet: component(["DGAFNetModel"]),
  controlnet: component(["ControlNetModel"]),
  flow: component(["RAFT"]),
  num_inference_steps: v.optional(integer(1, 100_000)),
  conditioning_scale: v.optional(real(0, 100), 1),
  guidance_scale: v.optional(real(0, 1000)),
  max_noise_level: v.optional(integer(0, 100_000), 350),
});

/** Parts whose own files say what they are, and those that judge, mark or resize pictures, which is not done here. */
const HARMLESS = [
  "text_encoder",
  "tokenizer",
  "safety_checker",
  "requires_safety_checker",
  "feature_extractor",
  "image_processor",
  "watermarker",
];

/**
 * Parses `model_index.json`. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseModelIndex(json: unknown, where: string): ModelIndex {
  const raw = parseConfig(schema, json, { where, harmless: HARMLESS });
  const isX4 = raw._class_name === X4_PIPELINE;
  return {
    pipeline_class: raw._class_name,
    scheduler_class: raw.scheduler?.[1] ?? null,
    low_res_scheduler: isX4 || (raw.low_res_scheduler?.[1] ?? null) !== null,
    num_inference_steps: raw.num_inference_steps ?? (isX4 ? DEFAULT_X4_STEPS : DEFAULT_STEPS),
    conditioning_scale: raw.conditioning_scale,
    guidance_scale: raw.guidance_scale ?? (isX4 ? DEFAULT_X4_GUIDANCE : 1),
    max_noise_level: raw.max_noise_level,
  };
}

/** `[library, class]` of a part, both null where the part is left out. */
function component(classes: string[]) {
  return v.optional(v.strictTuple([v.nullable(v.string()), v.nullable(v.picklist(classes))]));
}
