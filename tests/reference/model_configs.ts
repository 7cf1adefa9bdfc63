import { NumberText, type StrictJson } from "./strict_json.ts";

/** A configuration as plain values; throws an Error where it is not one that this program supports. */
export type ParseConfig = (json: StrictJson) => Record<string, unknown>;

type Values = Record<string, unknown>;
type Check = (value: unknown) => boolean;

interface Key {
  readonly ok: Check;
  /** What a missing key stands for; undefined where it must be there. */
  readonly fallback: unknown;
}

const CHANNELS = whole(1, 4096);

const TRUNK: Readonly<Record<string, Key>> = {
  in_channels: key(CHANNELS, 4),
  block_out_channels: key(listOf(CHANNELS, 1, 8), [320, 640, 1280, 1280]),
  layers_per_block: key(whole(1, 8), 2),
  norm_num_groups: key(whole(1, 256), 32),
  norm_eps: key(above(0, 0.1), 1e-5),
  num_class_embeds: key(orNull(whole(1, 16_384)), null),
  flip_sin_to_cos: key(isBoolean, true),
  freq_shift: key(within(0, 1024), 0),
  act_fn: fixed("silu"),
  resnet_time_scale_shift: fixed("default"),
  downsample_padding: fixed(1),
  mid_block_scale_factor: fixed(1),
};

const ATTENTION_TRUNK: Readonly<Record<string, Key>> = {
  ...TRUNK,
  down_block_types: key(listOf(oneOf("DownBlock2D", "CrossAttnDownBlock2D"), 1, 8), [
    ...Array(3).fill("CrossAttnDownBlock2D"),
    "DownBlock2D",
  ]),
  only_cross_attention: key(either(isBoolean, listOf(isBoolean, 1, 8)), false),
  attention_head_dim: key(either(whole(1, 1024), listOf(whole(1, 1024), 1, 8)), 8),
  cross_attention_dim: key(whole(1, 16_384), 1280),
  use_linear_projection: { ok: (value) => value === true, fallback: undefined },
  mid_block_type: fixed("UNetMidBlock2DCrossAttn"),
  transformer_layers_per_block: fixed(1),
};

/** Reads `unet/config.json`. */
export function unetConfig(json: StrictJson): Values {
  const read = readKeys(json, {
    keys: {
      ...ATTENTION_TRUNK,
      _class_name: fixed("UNet2DConditionModel"),
      out_channels: key(CHANNELS, 4),
      up_block_types: key(listOf(oneOf("UpBlock2D", "CrossAttnUpBlock2D"), 1, 8), [
        "UpBlock2D",
        ...Array(3).fill("CrossAttnUpBlock2D"),
      ]),
      attention_type: fixed("default"),
      time_embedding_type: fixed("positional"),
      resnet_out_scale_factor: fixed(1),
      conv_in_kernel: fixed(3),
      conv_out_kernel: fixed(3),
    },
    harmless: ["sample_size", "dropout", "upcast_attention", "addition_embed_type_num_heads"],
  });
  return withAttention(read, read.up_block_types as string[]);
}

/** Reads `controlnet/config.json`. */
export function controlnetConfig(json: StrictJson): Values {
  const read = readKeys(json, {
    keys: {
      ...ATTENTION_TRUNK,
      _class_name: fixed("ControlNetModel"),
      conditioning_channels: key(CHANNELS, 3),
      conditioning_embedding_out_channels: key(listOf(CHANNELS, 1, 8), [16, 32, 96, 256]),
      controlnet_conditioning_channel_order: fixed("rgb"),
    },
    harmless: ["sample_size", "upcast_attention", "addition_embed_type_num_heads"],
  });
  return withAttention(read, null);
}

/** Checks what lists of the way down, and of the way `up` if any, must have in common; a value per block each. */
function withAttention(read: Values, up: string[] | null): Values {
  const channels = read.block_out_channels as number[], blocks = channels.length;
  const down = read.down_block_types as string[];
  const heads = perBlock(read.attention_head_dim, blocks) as number[];
  const crossOnly = perBlock(read.only_cross_attention, blocks);
  check([down, up ?? down, heads, crossOnly].every((list) => list.length === blocks));
  checkTrunk(read);
  channels.forEach((count, i) => {
    const attends = i === blocks - 1 || down[i]!.startsWith("Cross") ||
      up?.[blocks - 1 - i]?.startsWith("Cross");
    check(!attends || count % heads[i]! === 0);
  });
  return { ...read, heads, only_cross_attention: crossOnly };
}

/** Reads `dgafnet/config.json`. */
export function dgafnetConfig(json: StrictJson): Values {
  const read = readKeys(json, {
    keys: {
      ...TRUNK,
      _class_name: fixed("DGAFNetModel"),
      conditioning_channels: key(CHANNELS, 4),
      mid_block_type: key(oneOf("MidBlock2D", "UNetMidBlock2D"), "UNetMidBlock2D"),
      down_block_types: key(listOf(oneOf("DownBlock2D"), 1, 8), null),
      up_block_types: key(listOf(oneOf("UpBlock2D"), 1, 8), null),
      conditioning_scale: key(orNull(within(0, 100)), null),
    },
    harmless: [
      "sample_size only_cross_attention attention_head_dim num_attention_heads cross_attention_dim",
      "use_linear_projection upcast_attention transformer_layers_per_block addition_embed_type_num_heads",
      "conditioning_embedding_out_channels controlnet_conditioning_channel_order",
    ].join(" ").split(" "),
  });
  const blocks = (read.block_out_channels as number[]).length;
  for (const types of [read.down_block_types, read.up_block_types] as (string[] | null)[]) {
    check(types === null || types.length === blocks);
  }
  checkTrunk(read);
  return read;
}

/** Reads `vae/config.json`. */
export function vaeConfig(json: StrictJson): Values {
  const read = readKeys(json, {
    keys: {
      _class_name: fixed("AutoencoderKL"),
      in_channels: fixed(3),
      out_channels: fixed(3),
      down_block_types: key(listOf(oneOf("DownEncoderBlock2D"), 1, 8), ["DownEncoderBlock2D"]),
      up_block_types: key(listOf(oneOf("UpDecoderBlock2D"), 1, 8), ["UpDecoderBlock2D"]),
      block_out_channels: key(listOf(CHANNELS, 1, 8), [64]),
      layers_per_block: key(whole(1, 8), 1),
      act_fn: fixed("silu"),
      latent_channels: key(whole(1, 64), 4),
      norm_num_groups: key(whole(1, 256), 32),
      scaling_factor: key(above(0, 1000), 0.18215),
      use_quant_conv: fixed(true),
      use_post_quant_conv: fixed(true),
      mid_block_add_attention: key(isBoolean, true),
    },
    harmless: ["sample_size", "force_upcast"],
  });
  const channels = read.block_out_channels as number[];
  for (const types of [read.down_block_types, read.up_block_types] as string[][]) {
    check(types.length === channels.length);
  }
  check(channels.every((count) => count % (read.norm_num_groups as number) === 0));
  return read;
}

/** Reads `flow/config.json`. */
export function raftConfig(json: StrictJson): Values {
  const block = oneOf("ResidualBlock", "BottleneckBlock");
  const norm = orNull(oneOf("InstanceNorm2d", "BatchNorm2d"));
  const layers = key(listOf(CHANNELS, 5, 5), [64, 64, 96, 128, 256]);
  const odd: Check = (value) => whole(1, 15)(value) && (value as number) % 2 === 1;
  const read = readKeys(json, {
    keys: {
      _class_name: fixed("RAFT"),
      feature_encoder_layers: layers,
      feature_encoder_block: key(block, "ResidualBlock"),
      feature_encoder_norm_layer: key(norm, "InstanceNorm2d"),
      context_encoder_layers: layers,
      context_encoder_block: key(block, "ResidualBlock"),
      context_encoder_norm_layer: key(norm, "BatchNorm2d"),
      corr_block_num_levels: key(whole(1, 6), 4),
      corr_block_radius: key(whole(1, 8), 4),
      motion_encoder_corr_layers: key(listOf(CHANNELS, 1, 2), [256, 192]),
      motion_encoder_flow_layers: key(listOf(CHANNELS, 2, 2), [128, 64]),
      motion_encoder_out_channels: key(whole(3, 4096), 128),
      recurrent_block_hidden_state_size: key(CHANNELS, 128),
      recurrent_block_kernel_size: key(listOf(either(odd, listOf(odd, 2, 2)), 1, 2), [[1, 5], [5, 1]]),
      flow_head_hidden_size: key(CHANNELS, 256),
      use_mask_predictor: key(isBoolean, true),
      mask_predictor_hidden_size: key(CHANNELS, 256),
      batch_norm_statistics: key(oneOf("image", "running"), "image"),
      num_flow_updates: key(whole(1, 1000), 12),
    },
    harmless: [],
  });
  const hidden = read.recurrent_block_hidden_state_size as number;
  const context = (read.context_encoder_layers as number[])[4]!;
  check(hidden < context);
  check(read.feature_encoder_norm_layer !== "BatchNorm2d" || read.batch_norm_statistics === "running");
  for (const encoder of ["feature_encoder", "context_encoder"]) {
    const stages = (read[`${encoder}_layers`] as number[]).slice(1, 4);
    check(read[`${encoder}_block`] === "ResidualBlock" || stages.every((count) => count % 4 === 0));
  }
  const kernels = (read.recurrent_block_kernel_size as (number | number[])[]).map((size) =>
    typeof size === "number" ? [size, size] : size
  );
  const gates = 4 * (context + (read.motion_encoder_out_channels as number)) * hidden;
  check(kernels.every(([height, width]) => gates * height! * width! < 2 ** 31));
  return { ...read, recurrent_block_kernel_size: kernels };
}

/** Reads `scheduler/scheduler_config.json`. */
export function schedulerConfig(json: StrictJson): Values {
  const read = readKeys(json, {
    keys: {
      _class_name: key(oneOf("DDPMScheduler", "DDIMScheduler"), "DDPMScheduler"),
      num_train_timesteps: key(whole(1, 100_000), 1000),
      beta_start: key(above(0, 0.999), 1e-4),
      beta_end: key(above(0, 0.999), 0.02),
      beta_schedule: key(oneOf("linear", "scaled_linear"), "linear"),
      prediction_type: key(oneOf("epsilon", "sample", "v_prediction"), "epsilon"),
      variance_type: fixed("fixed_small"),
      clip_sample: key(isBoolean, true),
      clip_sample_range: key(above(0, 1e6), 1),
      timestep_spacing: key(oneOf("leading", "linspace", "trailing"), "leading"),
      steps_offset: key(whole(0, 100_000), 0),
      set_alpha_to_one: key(isBoolean, true),
    },
    harmless: ["dynamic_thresholding_ratio", "sample_max_value", "skip_prk_steps"],
  });
  check((read.beta_end as number) >= (read.beta_start as number));
  check((read.steps_offset as number) < (read.num_train_timesteps as number));
  return { ...read, class_name: read._class_name };
}

/** Reads `model_index.json`. */
export function modelIndex(json: StrictJson): Values {
  const part = (...classes: string[]) => {
    const isPart: Check = (value) =>
      Array.isArray(value) && value.length === 2 &&
      (value[0] === null || typeof value[0] === "string") && orNull(oneOf(...classes))(value[1]);
    return key(isPart, null);
  };
  const read = readKeys(json, {
    keys: {
      _class_name: key(orNull((value) => typeof value === "string"), null),
      unet: part("UNet2DConditionModel"),
      vae: part("AutoencoderKL"),
      scheduler: part("DDPMScheduler", "DDIMScheduler"),
      low_res_scheduler: part("DDPMScheduler", "DDIMScheduler"),
      dgafnet: part("DGAFNetModel"),
      controlnet: part("ControlNetModel"),
      flow: part("RAFT"),
      num_inference_steps: key(whole(1, 100_000), 0),
      conditioning_scale: key(within(0, 100), 1),
      guidance_scale: key(within(0, 1000), null),
      max_noise_level: key(whole(0, 100_000), 350),
    },
    harmless: [
      "text_encoder tokenizer safety_checker requires_safety_checker",
      "feature_extractor image_processor watermarker",
    ].join(" ").split(" "),
  });
  const pipeline = read._class_name, isX4 = pipeline === "StableDiffusionUpscalePipeline";
  const classOf = (part: unknown) => (part as string[] | null)?.[1] ?? null;
  return {
    ...read,
    pipeline_class: pipeline,
    scheduler_class: classOf(read.scheduler),
    low_res_scheduler: isX4 || classOf(read.low_res_scheduler) !== null,
    num_inference_steps: read.num_inference_steps || (isX4 ? 75 : 50),
    guidance_scale: read.guidance_scale ?? (isX4 ? 9 : 1),
  };
}

function readKeys(
  json: StrictJson,
  { keys, harmless }: { readonly keys: Readonly<Record<string, Key>>; readonly harmless: readonly string[] },
): Values {
  check(json instanceof Map);
  const given = json as Map<string, StrictJson>;
  const read: Values = {};
  for (const [name, { ok, fallback }] of Object.entries(keys)) {
    const value = given.has(name) ? plain(given.get(name)!) : fallback;
    check(given.has(name) ? ok(value) : value !== undefined);
    read[name] = value;
  }
  for (const [name, value] of given) {
    const known = Object.hasOwn(keys, name) || harmless.includes(name);
    const free = name[0] === "_" && name !== "__proto__";
    check(known || free || asksForNothing(value));
  }
  return read;
}

function asksForNothing(value: StrictJson): boolean {
  if (Array.isArray(value)) return value.every(asksForNothing);
  return value instanceof NumberText ? Number(value.text) === 0 : [null, false, ""].some((v) => v === value);
}

/** Numbers as numbers; objects, which no key takes, as they are. */
function plain(value: StrictJson): unknown {
  if (value instanceof NumberText) return Number(value.text);
  return Array.isArray(value) ? value.map(plain) : value;
}

function checkTrunk(read: Values): void {
  const channels = read.block_out_channels as number[];
  check(channels.every((count) => count % (read.norm_num_groups as number) === 0));
  check(channels[0]! % 2 === 0 && (read.freq_shift as number) < channels[0]! / 2);
}

function check(holds: boolean): void {
  if (!holds) throw new Error("not a configuration that is supported");
}

function key(ok: Check, fallback: unknown): Key {
  return { ok, fallback };
}

function fixed(value: unknown): Key {
  return key((given) => given === value, value);
}

function isBoolean(value: unknown): boolean {
  return value === true || value === false;
}

function whole(min: number, max: number): Check {
  return (value) => Number.isInteger(value) && within(min, max)(value);
}

function within(min: number, max: number): Check {
  return (value) => typeof value === "number" && value >= min && value <= max;
}

function above(min: number, max: number): Check {
  return (value) => within(min, max)(value) && value !== min;
}

function oneOf(...values: readonly string[]): Check {
  return (value) => values.some((wanted) => wanted === value);
}

function orNull(ok: Check): Check {
  return (value) => value === null || ok(value);
}

function either(one: Check, other: Check): Check {
  return (value) => one(value) || other(value);
}

function listOf(ok: Check, min: number, max: number): Check {
  return (value) => Array.isArray(value) && value.length >= min && value.length <= max && value.every(ok);
}

function perBlock(value: unknown, blocks: number): unknown[] {
  return Array.isArray(value) ? value : Array(blocks).fill(value);
}
