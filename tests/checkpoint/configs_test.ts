import assert from "node:assert/strict";
import { parseControlNetConfig } from "../../src/checkpoint/controlnet_config.ts";
import { parseDGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import { ConfigError } from "../../src/checkpoint/errors.ts";
import { parseModelIndex } from "../../src/checkpoint/model_index.ts";
import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { parseSchedulerConfig } from "../../src/checkpoint/scheduler_config.ts";
import { parseUNetConfig } from "../../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import { loadIndex } from "../golden_file.ts";

type Parse = (json: unknown, where: string) => unknown;

const PARSERS: Readonly<Record<string, Parse>> = {
  unet: parseUNetConfig,
  dgafnet: parseDGAFNetConfig,
  controlnet: parseControlNetConfig,
  vae: parseVAEConfig,
  raft: parseRAFTConfig,
  flow: parseRAFTConfig,
  scheduler: parseSchedulerConfig,
};

/** The public x4-upscaler's. */
const UNET = {
  _class_name: "UNet2DConditionModel",
  _diffusers_version: "0.8.0",
  act_fn: "silu",
  attention_head_dim: 8,
  block_out_channels: [256, 512, 512, 1024],
  center_input_sample: false,
  cross_attention_dim: 1024,
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  downsample_padding: 1,
  dual_cross_attention: false,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 7,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  num_class_embeds: 1000,
  only_cross_attention: [true, true, true, false],
  out_channels: 4,
  sample_size: 128,
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
  use_linear_projection: true,
};

function problemsOf(parse: Parse, json: unknown): readonly string[] {
  try {
    parse(json, "f.json");
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, /^Cannot use "f\.json"\n/);
    return error.problems;
  }
  return [];
}

Deno.test("parse...Config() read every golden's configurations", () => {
  let parsed = 0;
  for (const { name, network, config, dgafnet_config, controlnet_config, configs } of loadIndex()) {
    const found: [string, unknown][] = [
      ...config && network in PARSERS ? [[network, config] as [string, unknown]] : [],
      ...dgafnet_config ? [["dgafnet", dgafnet_config] as [string, unknown]] : [],
      ...controlnet_config ? [["controlnet", controlnet_config] as [string, unknown]] : [],
      ...Object.entries(configs ?? {}).filter(([part]) => part in PARSERS),
    ];
    for (const [part, json] of found) {
      assert.doesNotThrow(() => PARSERS[part]!(json, `${name}: ${part}`));
      parsed++;
    }
  }
  assert.ok(parsed >= 40, `${parsed} configurations`);
});

Deno.test("parseUNetConfig() reads the x4-upscaler's configuration", () => {
  assert.deepEqual(parseUNetConfig(UNET, "f.json"), {
    in_channels: 7,
    block_out_channels: [256, 512, 512, 1024],
    layers_per_block: 2,
    norm_num_groups: 32,
    norm_eps: 1e-5,
    num_class_embeds: 1000,
    flip_sin_to_cos: true,
    freq_shift: 0,
    out_channels: 4,
    down_block_types: UNET.down_block_types,
    up_block_types: UNET.up_block_types,
    only_cross_attention: [true, true, true, false],
    heads: [8, 8, 8, 8],
    cross_attention_dim: 1024,
  });
  const perBlock = { ...UNET, attention_head_dim: [4, 8, 8, 16], only_cross_attention: true };
  const { heads, only_cross_attention } = parseUNetConfig(perBlock, "f.json");
  assert.deepEqual(heads, [4, 8, 8, 16]);
  assert.deepEqual(only_cross_attention, [true, true, true, true]);
});

Deno.test("parseUNetConfig() wants heads to divide channels only where a block attends", () => {
  const json = { ...UNET, attention_head_dim: [3, 8, 8, 8] };
  assert.deepEqual(parseUNetConfig(json, "f.json").heads, [3, 8, 8, 8]);
  const upAttends = { ...json, up_block_types: Array(4).fill("CrossAttnUpBlock2D") };
  assert.deepEqual(problemsOf(parseUNetConfig, upAttends), [
    "f.json: attention_head_dim is 3 heads, wanted a divisor of block_out_channels.0, 256",
  ]);
});

Deno.test("parseUNetConfig() fills in diffusers' defaults", () => {
  const config = parseUNetConfig({ use_linear_projection: true }, "f.json");
  assert.deepEqual(config.block_out_channels, [320, 640, 1280, 1280]);
  assert.deepEqual(config.heads, [8, 8, 8, 8]);
  assert.deepEqual(config.only_cross_attention, [false, false, false, false]);
  assert.deepEqual([config.in_channels, config.cross_attention_dim, config.num_class_embeds], [
    4,
    1280,
    null,
  ]);
});

const UNET_CASES: readonly [change: Record<string, unknown>, problem: string][] = [
  [{ act_fn: "gelu" }, 'act_fn is "gelu", wanted "silu"'],
  [{ resnet_time_scale_shift: "scale_shift" }, 'resnet_time_scale_shift is "scale_shift", wanted "default"'],
  [{ use_linear_projection: false }, "use_linear_projection is false, wanted true"],
  [{ use_linear_projection: undefined }, "use_linear_projection is missing, wanted true"],
  [{ time_embedding_type: "fourier" }, 'time_embedding_type is "fourier", wanted "positional"'],
  [{ conv_in_kernel: 1 }, "conv_in_kernel is 1, wanted 3"],
  [{ transformer_layers_per_block: 2 }, "transformer_layers_per_block is 2, wanted 1"],
  [{ downsample_padding: 0 }, "downsample_padding is 0, wanted 1"],
  [{ mid_block_scale_factor: 2 }, "mid_block_scale_factor is 2, wanted 1"],
  [{ mid_block_type: null }, 'mid_block_type is null, wanted "UNetMidBlock2DCrossAttn"'],
  [
    { down_block_types: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"] },
    'down_block_types.1 is "AttnDownBlock2D", wanted ("DownBlock2D" | "CrossAttnDownBlock2D")',
  ],
  [{ _class_name: "UNet2DModel" }, '_class_name is "UNet2DModel", wanted "UNet2DConditionModel"'],
  [{ layers_per_block: 0 }, "layers_per_block is 0, wanted a whole number from 1 to 8"],
  [{ layers_per_block: 1.5 }, "layers_per_block is 1.5, wanted a whole number from 1 to 8"],
  [{ layers_per_block: null }, "layers_per_block is null, wanted number"],
  [{ layers_per_block: [2, 2, 2, 2] }, "layers_per_block is [2,2,2,2], wanted number"],
  [{ norm_eps: "1e-5" }, 'norm_eps is "1e-5", wanted number'],
  [{ norm_eps: 0 }, "norm_eps is 0, wanted a number above 0 to 0.1"],
  [{ attention_head_dim: 0 }, "attention_head_dim is 0, wanted a whole number from 1 to 1024"],
  [{ attention_head_dim: [8, 8, 8] }, "attention_head_dim has 3 entries, wanted 4 as block_out_channels has"],
  [
    { only_cross_attention: [true] },
    "only_cross_attention has 1 entries, wanted 4 as block_out_channels has",
  ],
  [{ up_block_types: ["UpBlock2D"] }, "up_block_types has 1 entries, wanted 4 as block_out_channels has"],
  [
    { attention_head_dim: 24 },
    "attention_head_dim is 24 heads, wanted a divisor of block_out_channels.1, 512",
  ],
  [
    { block_out_channels: [256, 512, 512, 1000] },
    "block_out_channels has 1000, wanted a multiple of norm_num_groups, 32",
  ],
  [
    { block_out_channels: [256, 512, 512, 1e9] },
    "block_out_channels.3 is 1000000000, wanted a whole number from 1 to 4096",
  ],
  [{ block_out_channels: [] }, "block_out_channels is [], wanted a list of 1 to 8 values"],
  [{ freq_shift: 128 }, "freq_shift is 128, wanted less than 128"],
  ...[
    ["center_input_sample", true],
    ["dual_cross_attention", true],
    ["class_embed_type", "timestep"],
    ["addition_embed_type", "text"],
    ["encoder_hid_dim_type", "text_proj"],
    ["num_attention_heads", 8],
    ["quantization_config", {}],
  ].map(([key, value]): [Record<string, unknown>, string] => [
    { [key as string]: value },
    `"${key}" is ${JSON.stringify(value)}, which is not supported: wanted null, false or no such key`,
  ]),
];

for (const [change, problem] of UNET_CASES) {
  Deno.test(`parseUNetConfig() refuses ${JSON.stringify(change)}`, () => {
    assert.ok(problemsOf(parseUNetConfig, { ...UNET, ...change }).includes(`f.json: ${problem}`));
  });
}

Deno.test("parseUNetConfig() lists all problems at once and accepts keys that ask for nothing", () => {
  const bad = { ...UNET, act_fn: "relu", norm_eps: -1, new_trick: [1] };
  assert.deepEqual(problemsOf(parseUNetConfig, bad), [
    'f.json: "new_trick" is [1], which is not supported: wanted null, false or no such key',
    "f.json: norm_eps is -1, wanted a number above 0 to 0.1",
    'f.json: act_fn is "relu", wanted "silu"',
  ]);
  const harmless = {
    _name_or_path: "x",
    a: null,
    b: false,
    c: [null, null],
    upcast_attention: true,
    dropout: 0.1,
  };
  assert.deepEqual(parseUNetConfig({ ...UNET, ...harmless }, "f.json"), parseUNetConfig(UNET, "f.json"));
  for (const json of [null, [], "x", 1]) {
    assert.deepEqual(problemsOf(parseUNetConfig, json), ["f.json: it is not a JSON object"]);
  }
  assert.deepEqual(
    problemsOf(parseUNetConfig, JSON.parse('{"use_linear_projection":true,"__proto__":{"a":1}}')),
    [
      'f.json: "__proto__" is {"a":1}, which is not supported: wanted null, false or no such key',
    ],
  );
});

Deno.test("parseDGAFNetConfig() accepts the UNet's attention keys and refuses blocks with attention", () => {
  const json = { in_channels: 7, block_out_channels: [32, 64], norm_num_groups: 8, attention_head_dim: 8 };
  assert.deepEqual(parseDGAFNetConfig(json, "f.json"), {
    in_channels: 7,
    block_out_channels: [32, 64],
    layers_per_block: 2,
    norm_num_groups: 8,
    norm_eps: 1e-5,
    num_class_embeds: null,
    flip_sin_to_cos: true,
    freq_shift: 0,
    conditioning_channels: 4,
    mid_block_type: "UNetMidBlock2D",
    conditioning_scale: null,
  });
  const bad = {
    ...json,
    down_block_types: ["DownBlock2D"],
    up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  };
  assert.deepEqual(problemsOf(parseDGAFNetConfig, bad), [
    'f.json: up_block_types.1 is "CrossAttnUpBlock2D", wanted "UpBlock2D"',
  ]);
  assert.deepEqual(problemsOf(parseDGAFNetConfig, { ...json, down_block_types: ["DownBlock2D"] }), [
    "f.json: down_block_types has 1 entries, wanted 2 as block_out_channels has",
  ]);
});

Deno.test("parseVAEConfig() fills in diffusers' defaults and refuses what is not supported", () => {
  assert.deepEqual(parseVAEConfig({ norm_num_groups: 32 }, "f.json"), {
    block_out_channels: [64],
    layers_per_block: 1,
    latent_channels: 4,
    norm_num_groups: 32,
    scaling_factor: 0.18215,
    mid_block_add_attention: true,
  });
  assert.deepEqual(problemsOf(parseVAEConfig, { shift_factor: 0.1, use_quant_conv: false, in_channels: 4 }), [
    'f.json: "shift_factor" is 0.1, which is not supported: wanted null, false or no such key',
    "f.json: in_channels is 4, wanted 3",
    "f.json: use_quant_conv is false, wanted true",
  ]);
  assert.deepEqual(problemsOf(parseVAEConfig, { block_out_channels: [48, 64] }), [
    "f.json: down_block_types has 1 entries, wanted 2 as block_out_channels has",
    "f.json: up_block_types has 1 entries, wanted 2 as block_out_channels has",
    "f.json: block_out_channels has 48, wanted a multiple of norm_num_groups, 32",
  ]);
});

Deno.test("parseRAFTConfig() defaults to raft_large and reads every kernel size as a pair", () => {
  const large = parseRAFTConfig({}, "f.json");
  assert.deepEqual(large.feature_encoder_layers, [64, 64, 96, 128, 256]);
  assert.deepEqual(large.recurrent_block_kernel_size, [[1, 5], [5, 1]]);
  assert.deepEqual([large.feature_encoder_norm_layer, large.context_encoder_norm_layer], [
    "InstanceNorm2d",
    "BatchNorm2d",
  ]);
  assert.deepEqual([large.batch_norm_statistics, large.num_flow_updates], ["image", 12]);
  const small = parseRAFTConfig(
    { recurrent_block_kernel_size: [3], context_encoder_norm_layer: null },
    "f.json",
  );
  assert.deepEqual(small.recurrent_block_kernel_size, [[3, 3]]);
  assert.equal(small.context_encoder_norm_layer, null);
});

Deno.test("parseRAFTConfig() refuses sizes that do not fit together", () => {
  const bad = {
    recurrent_block_hidden_state_size: 256,
    feature_encoder_block: "BottleneckBlock",
    feature_encoder_layers: [64, 64, 96, 126, 256],
  };
  assert.deepEqual(problemsOf(parseRAFTConfig, bad), [
    "f.json: recurrent_block_hidden_state_size is 256, wanted less than the last of context_encoder_layers, 256",
    "f.json: feature_encoder_layers has 126, wanted a multiple of 4 for BottleneckBlock",
  ]);
  const worse = {
    feature_encoder_layers: [64],
    recurrent_block_kernel_size: [4],
    feature_encoder_norm_layer: "LayerNorm",
    batch_norm_statistics: "none",
    surprise: 1,
  };
  assert.deepEqual(problemsOf(parseRAFTConfig, worse), [
    'f.json: "surprise" is 1, which is not supported: wanted null, false or no such key',
    "f.json: feature_encoder_layers is [64], wanted a list of 5 values",
    'f.json: feature_encoder_norm_layer is "LayerNorm", wanted ("InstanceNorm2d" | "BatchNorm2d")',
    "f.json: recurrent_block_kernel_size.0 is 4, wanted an odd number",
    'f.json: batch_norm_statistics is "none", wanted ("image" | "running")',
  ]);
});

Deno.test("parseSchedulerConfig() fills in diffusers' defaults", () => {
  assert.deepEqual(parseSchedulerConfig({}, "f.json"), {
    class_name: "DDPMScheduler",
    num_train_timesteps: 1000,
    beta_start: 1e-4,
    beta_end: 0.02,
    beta_schedule: "linear",
    prediction_type: "epsilon",
    clip_sample: true,
    clip_sample_range: 1,
    timestep_spacing: "leading",
    steps_offset: 0,
    set_alpha_to_one: true,
  });
});

Deno.test("parseSchedulerConfig() reads the x4-upscaler's configuration with what other schedulers left in it", () => {
  const json = {
    _class_name: "DDIMScheduler",
    beta_end: 0.02,
    beta_schedule: "scaled_linear",
    beta_start: 0.0001,
    clip_sample: false,
    num_train_timesteps: 1000,
    prediction_type: "v_prediction",
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
    trained_betas: null,
    dynamic_thresholding_ratio: 0.995,
  };
  const config = parseSchedulerConfig(json, "f.json");
  assert.deepEqual([config.class_name, config.set_alpha_to_one, config.steps_offset], [
    "DDIMScheduler",
    false,
    1,
  ]);
});

Deno.test("parseSchedulerConfig() refuses what is not supported", () => {
  const bad = {
    _class_name: "PNDMScheduler",
    variance_type: "learned",
    beta_schedule: "squaredcos_cap_v2",
    thresholding: true,
    rescale_betas_zero_snr: true,
    trained_betas: [0.1],
  };
  assert.deepEqual(problemsOf(parseSchedulerConfig, bad), [
    'f.json: "thresholding" is true, which is not supported: wanted null, false or no such key',
    'f.json: "rescale_betas_zero_snr" is true, which is not supported: wanted null, false or no such key',
    'f.json: "trained_betas" is [0.1], which is not supported: wanted null, false or no such key',
    'f.json: _class_name is "PNDMScheduler", wanted ("DDPMScheduler" | "DDIMScheduler")',
    'f.json: beta_schedule is "squaredcos_cap_v2", wanted ("linear" | "scaled_linear")',
    'f.json: variance_type is "learned", wanted "fixed_small"',
  ]);
  assert.deepEqual(problemsOf(parseSchedulerConfig, { beta_start: 0.03, steps_offset: 1000 }), [
    "f.json: beta_end is 0.02, wanted at least beta_start, 0.03",
    "f.json: steps_offset is 1000, wanted less than num_train_timesteps, 1000",
  ]);
  assert.deepEqual(problemsOf(parseSchedulerConfig, JSON.parse('{"clip_sample_range":1e999}')), [
    "f.json: clip_sample_range is null, wanted a number above 0 to 1000000",
  ]);
});

Deno.test("parseModelIndex() takes 50 steps and scale 1 where the file says nothing, and refuses other parts", () => {
  const json = {
    _class_name: "X",
    scheduler: ["diffusers", "DDIMScheduler"],
    tokenizer: ["transformers", "T"],
  };
  assert.deepEqual(parseModelIndex(json, "f.json"), {
    pipeline_class: "X",
    scheduler_class: "DDIMScheduler",
    low_res_scheduler: false,
    num_inference_steps: 50,
    conditioning_scale: 1,
    guidance_scale: 1,
    max_noise_level: 350,
  });
  assert.equal(parseModelIndex({ unet: [null, null] }, "f.json").scheduler_class, null);
  assert.equal(parseModelIndex({ guidance_scale: 7.5 }, "f.json").guidance_scale, 7.5);
  const bad = {
    unet: ["diffusers", "UNet3D"],
    controlnet: ["diffusers", "ControlNetXSModel"],
    num_inference_steps: 0,
    guidance_scale: -1,
  };
  assert.deepEqual(problemsOf(parseModelIndex, bad), [
    'f.json: unet.1 is "UNet3D", wanted "UNet2DConditionModel"',
    'f.json: controlnet.1 is "ControlNetXSModel", wanted "ControlNetModel"',
    "f.json: num_inference_steps is 0, wanted a whole number from 1 to 100000",
    "f.json: guidance_scale is -1, wanted a number from 0 to 1000",
  ]);
});

Deno.test("parseModelIndex() reads the x4-upscaler's, with the parts that are not used here, and takes its 75 steps and guidance scale 9", () => {
  const json = {
    _class_name: "StableDiffusionUpscalePipeline",
    _diffusers_version: "0.8.0.dev0",
    feature_extractor: ["transformers", "CLIPImageProcessor"],
    image_processor: ["diffusers", "VaeImageProcessor"],
    low_res_scheduler: ["diffusers", "DDPMScheduler"],
    max_noise_level: 300,
    safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
    scheduler: ["diffusers", "DDIMScheduler"],
    text_encoder: ["transformers", "CLIPTextModel"],
    tokenizer: ["transformers", "CLIPTokenizer"],
    unet: ["diffusers", "UNet2DConditionModel"],
    vae: ["diffusers", "AutoencoderKL"],
    watermarker: [null, null],
  };
  assert.deepEqual(parseModelIndex(json, "f.json"), {
    pipeline_class: "StableDiffusionUpscalePipeline",
    scheduler_class: "DDIMScheduler",
    low_res_scheduler: true,
    num_inference_steps: 75,
    conditioning_scale: 1,
    guidance_scale: 9,
    max_noise_level: 300,
  });
  assert.deepEqual(
    problemsOf(parseModelIndex, {
      ...json,
      vae_scale: 8,
      low_res_scheduler: ["diffusers", "EulerDiscreteScheduler"],
    }),
    [
      'f.json: "vae_scale" is 8, which is not supported: wanted null, false or no such key',
      'f.json: low_res_scheduler.1 is "EulerDiscreteScheduler", wanted ("DDPMScheduler" | "DDIMScheduler")',
    ],
  );
});

Deno.test("parseControlNetConfig() reads StableVSR's configuration and refuses what diffusers adds to it", () => {
  const { out_channels: _, up_block_types: __, num_class_embeds: ___, ...common } = UNET;
  const json = {
    ...common,
    _class_name: "ControlNetModel",
    class_embed_type: null,
    conditioning_embedding_out_channels: [64, 128, 256],
    controlnet_conditioning_channel_order: "rgb",
    global_pool_conditions: false,
  };
  assert.deepEqual(parseControlNetConfig(json, "f.json"), {
    in_channels: 7,
    block_out_channels: [256, 512, 512, 1024],
    layers_per_block: 2,
    norm_num_groups: 32,
    norm_eps: 1e-5,
    num_class_embeds: null,
    flip_sin_to_cos: true,
    freq_shift: 0,
    down_block_types: UNET.down_block_types,
    only_cross_attention: [true, true, true, false],
    heads: [8, 8, 8, 8],
    cross_attention_dim: 1024,
    conditioning_channels: 3,
    conditioning_embedding_out_channels: [64, 128, 256],
  });
  const bad = {
    ...json,
    controlnet_conditioning_channel_order: "bgr",
    global_pool_conditions: true,
    conditioning_embedding_out_channels: [],
  };
  assert.deepEqual(problemsOf(parseControlNetConfig, bad), [
    'f.json: "global_pool_conditions" is true, which is not supported: wanted null, false or no such key',
    "f.json: conditioning_embedding_out_channels is [], wanted a list of 1 to 8 values",
    'f.json: controlnet_conditioning_channel_order is "bgr", wanted "rgb"',
  ]);
  assert.deepEqual(problemsOf(parseControlNetConfig, { ...json, attention_head_dim: [3, 3, 8, 8] }), [
    "f.json: attention_head_dim is 3 heads, wanted a divisor of block_out_channels.1, 512",
  ]);
});

Deno.test("parseRAFTConfig() refuses statistics that pool both pictures", () => {
  const config = { feature_encoder_norm_layer: "BatchNorm2d", batch_norm_statistics: "image" };
  assert.throws(() => parseRAFTConfig(config, "flow/config.json"), /pools both pictures/);
  assert.equal(
    parseRAFTConfig({ ...config, batch_norm_statistics: "running" }, "x").feature_encoder_norm_layer,
    "BatchNorm2d",
  );
});
