import { parseCLIPTextConfig } from "../src/checkpoint/clip_text_config.ts";
import { parseControlNetConfig } from "../src/checkpoint/controlnet_config.ts";
import { parseDGAFNetConfig } from "../src/checkpoint/dgafnet_config.ts";
import { parseRAFTConfig } from "../src/checkpoint/raft_config.ts";
import { parseUNetConfig } from "../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../src/checkpoint/vae_config.ts";
import { CLIPTextModel } from "../src/models/clip_text.ts";
import { ControlNet } from "../src/models/controlnet.ts";
import { DGAFNet } from "../src/models/dgafnet.ts";
import { RAFT } from "../src/models/raft.ts";
import { UNet } from "../src/models/unet.ts";
import { VAEDecoder, VAEEncoder } from "../src/models/vae.ts";
import type { Weights } from "../src/nn/weights.ts";

/** The layouts of checkpoints: DGAF-VSR's, StableVSR's, and that of the x4-upscaler, which has no temporal module. */
export const LAYOUTS = ["dgaf", "stablevsr", "x4"] as const;
/** One of them. */
export type Layout = typeof LAYOUTS[number];

/** A part with weights: its configuration as the file says it, and what builds the networks from it. */
export interface PartLayout {
  readonly config: object;
  /** Asks for all tensors of the part. */
  build(w: Weights): void;
}

/** The numbers that make a checkpoint large or small. */
interface Sizes {
  readonly channels: readonly number[];
  readonly groups: number;
  /** Channels of the text embedding. */
  readonly context: number;
  readonly vaeChannels: readonly number[];
  readonly pictureChannels: readonly number[];
  readonly raft: object;
  readonly clip: object;
}

/** Of the x4-upscaler and what derives from it, torchvision's raft_large, and Stable Diffusion 2's text encoder. */
const FULL: Sizes = {
  channels: [256, 512, 512, 1024],
  groups: 32,
  context: 1024,
  vaeChannels: [128, 256, 512],
  pictureChannels: [64, 128, 256],
  raft: {},
  clip: { intermediate_size: 4096, num_hidden_layers: 23, num_attention_heads: 16 },
};

/** Enough for every layer to be there; those of the goldens' tiny UNet, temporal modules and VAE. */
const SMALL: Sizes = {
  channels: [32, 64, 64, 128],
  groups: 8,
  context: 32,
  vaeChannels: [32, 64, 64],
  pictureChannels: [64, 128, 256],
  raft: {
    feature_encoder_layers: [8, 8, 16, 16, 32],
    context_encoder_layers: [8, 8, 16, 16, 32],
    motion_encoder_corr_layers: [16],
    motion_encoder_flow_layers: [16, 8],
    motion_encoder_out_channels: 24,
    recurrent_block_hidden_state_size: 16,
    flow_head_hidden_size: 16,
    mask_predictor_hidden_size: 16,
  },
  clip: { intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 },
};

const SCHEDULER = {
  _class_name: "DDPMScheduler",
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: "scaled_linear",
  prediction_type: "v_prediction",
  clip_sample: false,
};

const PIPELINES = {
  dgaf: "DGAFVSRPipeline",
  stablevsr: "StableVSRPipeline",
  x4: "StableDiffusionUpscalePipeline",
};
const CLASSES = {
  unet: ["diffusers", "UNet2DConditionModel"],
  vae: ["diffusers", "AutoencoderKL"],
  dgafnet: ["dgaf_vsr", "DGAFNetModel"],
  controlnet: ["diffusers", "ControlNetModel"],
  flow: ["torchvision", "RAFT"],
  text_encoder: ["transformers", "CLIPTextModel"],
};

/** A checkpoint without the values of its weights. */
export interface CheckpointLayout {
  /** Parts with weights by the names of their folders. */
  readonly parts: Readonly<Record<string, PartLayout>>;
  /** Contents of JSON files beside the parts' `config.json`, by name. */
  readonly json: Readonly<Record<string, object>>;
  /** Shape of the text embedding. */
  readonly promptShape: readonly [number, number];
}

/**
 * Describes a checkpoint of `layout`, of full size or a `small` one, with a text `encoder` or without. Noise levels are
 * known to the x4-upscaler only.
 */
export function checkpointLayout(
  layout: Layout,
  { small, encoder }: { readonly small: boolean; readonly encoder: boolean },
): CheckpointLayout {
  const sizes = small ? SMALL : FULL, hasClasses = layout === "x4";
  const parts: Record<string, PartLayout> = { unet: unet(sizes, hasClasses), vae: vae(sizes) };
  if (layout === "dgaf") parts["dgafnet"] = dgafnet(sizes);
  if (layout === "stablevsr") parts["controlnet"] = controlnet(sizes);
  if (layout !== "x4") parts["flow"] = flow(sizes);
  if (encoder) parts["text_encoder"] = textEncoder(sizes);
  const json: Record<string, object> = {
    "model_index.json": {
      _class_name: PIPELINES[layout],
      ...Object.fromEntries(Object.keys(parts).map((part) => [part, CLASSES[part as keyof typeof CLASSES]])),
      scheduler: ["diffusers", "DDPMScheduler"],
      ...hasClasses ? { low_res_scheduler: ["diffusers", "DDPMScheduler"] } : {},
    },
    "scheduler/scheduler_config.json": SCHEDULER,
  };
  if (hasClasses) json["low_res_scheduler/scheduler_config.json"] = SCHEDULER;
  return { parts, json, promptShape: [77, sizes.context] };
}

function trunk({ channels, groups }: Sizes, hasClasses: boolean): object {
  return {
    in_channels: 7,
    block_out_channels: channels,
    layers_per_block: 2,
    norm_num_groups: groups,
    num_class_embeds: hasClasses ? 1000 : null,
  };
}

/** What UNet and ControlNet have in common. */
function attentionTrunk(sizes: Sizes, hasClasses: boolean): object {
  return {
    ...trunk(sizes, hasClasses),
    down_block_types: ["DownBlock2D", ...Array<string>(3).fill("CrossAttnDownBlock2D")],
    only_cross_attention: [true, true, true, false],
    attention_head_dim: 8,
    cross_attention_dim: sizes.context,
    use_linear_projection: true,
  };
}

function unet(sizes: Sizes, hasClasses: boolean): PartLayout {
  const config = {
    _class_name: "UNet2DConditionModel",
    ...attentionTrunk(sizes, hasClasses),
    out_channels: 4,
    up_block_types: [...Array<string>(3).fill("CrossAttnUpBlock2D"), "UpBlock2D"],
  };
  return { config, build: (w) => void new UNet(w, parseUNetConfig(config, "unet")) };
}

function dgafnet(sizes: Sizes): PartLayout {
  const config = { _class_name: "DGAFNetModel", ...trunk(sizes, false), mid_block_type: "MidBlock2D" };
  return { config, build: (w) => void new DGAFNet(w, parseDGAFNetConfig(config, "dgafnet")) };
}

function controlnet(sizes: Sizes): PartLayout {
  const config = {
    _class_name: "ControlNetModel",
    ...attentionTrunk(sizes, false),
    conditioning_channels: 3,
    conditioning_embedding_out_channels: sizes.pictureChannels,
  };
  return { config, build: (w) => void new ControlNet(w, parseControlNetConfig(config, "controlnet"), 4) };
}

function vae({ vaeChannels, groups }: Sizes): PartLayout {
  const config = {
    _class_name: "AutoencoderKL",
    block_out_channels: vaeChannels,
    down_block_types: Array<string>(3).fill("DownEncoderBlock2D"),
    up_block_types: Array<string>(3).fill("UpDecoderBlock2D"),
    layers_per_block: 2,
    norm_num_groups: groups,
    scaling_factor: 0.08333,
  };
  return {
    config,
    build(w) {
      const parsed = parseVAEConfig(config, "vae");
      new VAEEncoder(w, parsed);
      new VAEDecoder(w, parsed);
    },
  };
}

function flow({ raft }: Sizes): PartLayout {
  const config = { _class_name: "RAFT", ...raft };
  return { config, build: (w) => void new RAFT(w, parseRAFTConfig(config, "flow")) };
}

function textEncoder({ clip, context }: Sizes): PartLayout {
  const config = { architectures: ["CLIPTextModel"], hidden_size: context, hidden_act: "gelu", ...clip };
  return {
    config,
    build: (w) => void new CLIPTextModel(w, parseCLIPTextConfig(config, "text_encoder"), [[0]]),
  };
}
