import * as v from "valibot";
import { integer, parseConfig, real } from "./config_schema.ts";

/** What `model_index.json` says beside the list of parts. */
export interface ModelIndex {
  /** The scheduler's class; null if the index does not name it. */
  readonly scheduler_class: string | null;
  /** Sampling steps the model was made for. */
  readonly num_inference_steps: number;
  /** What the temporal module's residuals are multiplied with. */
  readonly conditioning_scale: number;
}

const schema = v.object({
  unet: component(["UNet2DConditionModel"]),
  vae: component(["AutoencoderKL"]),
  scheduler: component(["DDPMScheduler", "DDIMScheduler"]),
  dgafnet: component(["DGAFNetModel"]),
  controlnet: component(["ControlNetModel"]),
  flow: component(["RAFT"]),
  num_inference_steps: v.optional(integer(1, 100_000), 50),
  conditioning_scale: v.optional(real(0, 100), 1),
});

/** Parts of the x4-upscaler's and StableVSR's pipelines that take no part in the sampling done here. */
const HARMLESS = [
  "text_encoder",
  "tokenizer",
  "low_res_scheduler",
  "max_noise_level",
  "safety_checker",
  "requires_safety_checker",
  "feature_extractor",
  "watermarker",
];

/**
 * Parses `model_index.json`. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseModelIndex(json: unknown, where: string): ModelIndex {
  const raw = parseConfig(schema, json, { where, harmless: HARMLESS });
  return {
    scheduler_class: raw.scheduler?.[1] ?? null,
    num_inference_steps: raw.num_inference_steps,
    conditioning_scale: raw.conditioning_scale,
  };
}

/** `[library, class]` of a part, both null where the part is left out. */
function component(classes: string[]) {
  return v.optional(v.strictTuple([v.nullable(v.string()), v.nullable(v.picklist(classes))]));
}
