import type { CLIPTextConfig } from "./clip_text_config.ts";
import type { ControlNetConfig } from "./controlnet_config.ts";
import type { DGAFNetConfig } from "./dgafnet_config.ts";
import { type ModelIndex, X4_PIPELINE } from "./model_index.ts";
import type { RAFTConfig } from "./raft_config.ts";
import type { SchedulerConfig } from "./scheduler_config.ts";
import type { UNetConfig } from "./unet_config.ts";
import type { VAEConfig } from "./vae_config.ts";

/** Names of configurations, relative to the model folder. */
export const CONFIG_FILES = {
  index: "model_index.json",
  scheduler: "scheduler/scheduler_config.json",
  lowResScheduler: "low_res_scheduler/scheduler_config.json",
  textEncoder: "text_encoder/config.json",
} as const;
/** Channels of a low-resolution frame, which the UNet sees beside the latent. */
const FRAME_CHANNELS = 3;
const VAE_FACTOR = 4;

/** The parsed configurations of a model folder. */
export interface ModelConfigs {
  readonly index: ModelIndex;
  readonly unet: UNetConfig;
  readonly vae: VAEConfig;
  readonly scheduler: SchedulerConfig;
  /** Of the noise added to low-resolution frames; null where none is added. Never there without classes in the UNet. */
  readonly low_res_scheduler: SchedulerConfig | null;
  /** DGAF-VSR's temporal module. A model without any upscales frames one by one. */
  readonly dgafnet: DGAFNetConfig | null;
  /** StableVSR's temporal module; never together with `dgafnet`. */
  readonly controlnet: ControlNetConfig | null;
  /** Optical flow; never null where there is a temporal module. */
  readonly flow: RAFTConfig | null;
}

/** The largest noise level that a model with classes takes; null for one without, which takes none. */
export function highestNoiseLevel({ index, unet, low_res_scheduler }: ModelConfigs): number | null {
  if (unet.num_class_embeds === null) return null;
  const noised = low_res_scheduler?.num_train_timesteps ?? Infinity;
  return Math.min(index.max_noise_level, unet.num_class_embeds - 1, noised - 1);
}

/** What `problemsBetweenParts` is told beside the parsed configurations. */
export interface OtherParts {
  readonly textEncoder: CLIPTextConfig | null;
  /** What errors call the temporal module's configuration, if there is one. */
  readonly temporal: string | null;
}

/** Parts that were trained together agree on these; others cannot be connected. */
export function problemsBetweenParts(
  { index, unet, vae, scheduler, dgafnet, controlnet }: ModelConfigs,
  { textEncoder, temporal }: OtherParts,
): string[] {
  const problems: string[] = [];
  function same(
    key: string,
    { found, wanted, like }: { found: unknown; wanted: unknown; like: string },
  ): void {
    const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
    if (a !== b) problems.push(`${key} is ${a}, wanted ${b} (${like})`);
  }
  const latent = { wanted: vae.latent_channels, like: "latent_channels of vae/config.json" };
  same("unet/config.json: out_channels", { found: unet.out_channels, ...latent });
  same("unet/config.json: in_channels", {
    found: unet.in_channels,
    wanted: vae.latent_channels + FRAME_CHANNELS,
    like: `latent_channels of vae/config.json and ${FRAME_CHANNELS} channels of the frame`,
  });
  same("vae/config.json: 2^(entries of block_out_channels - 1)", {
    found: 2 ** (vae.block_out_channels.length - 1),
    wanted: VAE_FACTOR,
    like: "the upscaling factor",
  });
  if (scheduler.num_train_timesteps < index.num_inference_steps) {
    problems.push(
      `${CONFIG_FILES.index}: num_inference_steps is ${index.num_inference_steps}, wanted at most num_train_timesteps of ` +
        `${CONFIG_FILES.scheduler}, ${scheduler.num_train_timesteps}`,
    );
  }
  if (index.scheduler_class !== null) {
    same(`${CONFIG_FILES.scheduler}: _class_name`, {
      found: scheduler.class_name,
      wanted: index.scheduler_class,
      like: CONFIG_FILES.index,
    });
  }
  if (index.pipeline_class === X4_PIPELINE && unet.num_class_embeds === null) {
    problems.push(
      `unet/config.json: num_class_embeds is null, wanted a number (${X4_PIPELINE} tells the UNet a noise level)`,
    );
  }
  if (dgafnet) {
    same(`${temporal}: conditioning_channels`, { found: dgafnet.conditioning_channels, ...latent });
  }
  if (textEncoder) {
    same(`${CONFIG_FILES.textEncoder}: hidden_size`, {
      found: textEncoder.hidden_size,
      wanted: unet.cross_attention_dim,
      like: "cross_attention_dim of unet/config.json",
    });
  }
  const module = dgafnet ?? controlnet;
  for (const key of ["in_channels", "block_out_channels", "layers_per_block", "num_class_embeds"] as const) {
    if (!module) break;
    same(`${temporal}: ${key}`, { found: module[key], wanted: unet[key], like: "as unet/config.json" });
  }
  if (controlnet) {
    same(`${temporal}: cross_attention_dim`, {
      found: controlnet.cross_attention_dim,
      wanted: unet.cross_attention_dim,
      like: "as unet/config.json",
    });
    same(`${temporal}: conditioning_channels`, {
      found: controlnet.conditioning_channels,
      wanted: FRAME_CHANNELS,
      like: "channels of a decoded frame",
    });
    same(`${temporal}: 2^(entries of conditioning_embedding_out_channels - 1)`, {
      found: 2 ** (controlnet.conditioning_embedding_out_channels.length - 1),
      wanted: VAE_FACTOR,
      like: "the upscaling factor",
    });
  }
  if (dgafnet && dgafnet.conditioning_scale !== null) {
    same(`${CONFIG_FILES.index}: conditioning_scale`, {
      found: index.conditioning_scale,
      wanted: dgafnet.conditioning_scale,
      like: `as ${temporal}`,
    });
  }
  return problems;
}
