import * as v from "valibot";
import {
  channels,
  groupProblems,
  integer,
  lengthProblems,
  list,
  only,
  parseConfig,
  real,
} from "./config_schema.ts";

/** Configuration of diffusers' `AutoencoderKL`, as far as it is supported; pictures have 3 channels. */
export interface VAEConfig {
  readonly block_out_channels: readonly number[];
  readonly layers_per_block: number;
  readonly latent_channels: number;
  readonly norm_num_groups: number;
  readonly scaling_factor: number;
  readonly mid_block_add_attention: boolean;
}

const schema = v.object({
  _class_name: only("AutoencoderKL"),
  in_channels: only(3),
  out_channels: only(3),
  down_block_types: v.optional(list(v.literal("DownEncoderBlock2D")), ["DownEncoderBlock2D"]),
  up_block_types: v.optional(list(v.literal("UpDecoderBlock2D")), ["UpDecoderBlock2D"]),
  block_out_channels: v.optional(list(channels()), [64]),
  layers_per_block: v.optional(integer(1, 8), 1),
  act_fn: only("silu"),
  latent_channels: v.optional(integer(1, 64), 4),
  norm_num_groups: v.optional(integer(1, 256), 32),
  scaling_factor: v.optional(real(0, 1000, { above: true }), 0.18215),
  use_quant_conv: only(true),
  use_post_quant_conv: only(true),
  mid_block_add_attention: v.optional(v.boolean(), true),
});

/** The size of training samples, and a hint to leave half precision. */
const HARMLESS = ["sample_size", "force_upcast"];

/**
 * Parses `vae/config.json`; missing keys get diffusers' defaults. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseVAEConfig(json: unknown, where: string): VAEConfig {
  const raw = parseConfig(schema, json, { where, harmless: HARMLESS, check: problemsBetweenKeys });
  return {
    block_out_channels: raw.block_out_channels,
    layers_per_block: raw.layers_per_block,
    latent_channels: raw.latent_channels,
    norm_num_groups: raw.norm_num_groups,
    scaling_factor: raw.scaling_factor,
    mid_block_add_attention: raw.mid_block_add_attention,
  };
}

function problemsBetweenKeys(raw: v.InferOutput<typeof schema>): string[] {
  const { block_out_channels, down_block_types, up_block_types } = raw;
  const lengths = { length: block_out_channels.length, like: "block_out_channels" };
  return [
    ...lengthProblems({ down_block_types, up_block_types }, lengths),
    ...groupProblems(block_out_channels, raw.norm_num_groups),
  ];
}
