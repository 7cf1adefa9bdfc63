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

/** What UNet, DGAFNet and ControlNet have in common; keys as in diffusers' `config.json`. */
export interface TrunkConfig {
  readonly in_channels: number;
  readonly block_out_channels: readonly number[];
  readonly layers_per_block: number;
  readonly norm_num_groups: number;
  readonly norm_eps: number;
  readonly num_class_embeds: number | null;
  readonly flip_sin_to_cos: boolean;
  readonly freq_shift: number;
}

/** What UNet and ControlNet have in common: a way down with attention. */
export interface AttentionTrunkConfig extends TrunkConfig {
  readonly down_block_types: readonly ("DownBlock2D" | "CrossAttnDownBlock2D")[];
  /** Per down block; up blocks use it reversed. */
  readonly only_cross_attention: readonly boolean[];
  /** Attention heads per down block (the file's `attention_head_dim`, misnamed there); up blocks: reversed. */
  readonly heads: readonly number[];
  readonly cross_attention_dim: number;
}

/** Configuration of diffusers' `UNet2DConditionModel`, as far as it is supported. */
export interface UNetConfig extends AttentionTrunkConfig {
  readonly out_channels: number;
  readonly up_block_types: readonly ("UpBlock2D" | "CrossAttnUpBlock2D")[];
}

/** Schema entries of `TrunkConfig`, and of keys for which all networks support one value. */
export const trunkEntries = {
  in_channels: v.optional(channels(), 4),
  block_out_channels: v.optional(list(channels()), [320, 640, 1280, 1280]),
  layers_per_block: v.optional(integer(1, 8), 2),
  norm_num_groups: v.optional(integer(1, 256), 32),
  norm_eps: v.optional(real(0, 0.1, { above: true }), 1e-5),
  num_class_embeds: v.optional(v.nullable(integer(1, 16_384)), null),
  flip_sin_to_cos: v.optional(v.boolean(), true),
  freq_shift: v.optional(real(0, 1024), 0),
  act_fn: only("silu"),
  resnet_time_scale_shift: only("default"),
  downsample_padding: only(1),
  mid_block_scale_factor: only(1),
};

/** Schema entries of `AttentionTrunkConfig`, and of keys for which both networks support one value. */
export const attentionTrunkEntries = {
  ...trunkEntries,
  down_block_types: v.optional(list(v.picklist(["DownBlock2D", "CrossAttnDownBlock2D"])), [
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D",
    "DownBlock2D",
  ]),
  only_cross_attention: v.optional(v.union([v.boolean(), list(v.boolean())]), false),
  attention_head_dim: v.optional(v.union([integer(1, 1024), list(integer(1, 1024))]), 8),
  cross_attention_dim: v.optional(integer(1, 16_384), 1280),
  use_linear_projection: v.literal(true), // diffusers' default is false, so the key must be there
  mid_block_type: only("UNetMidBlock2DCrossAttn"),
  transformer_layers_per_block: only(1),
};

const schema = v.object({
  ...attentionTrunkEntries,
  _class_name: only("UNet2DConditionModel"),
  out_channels: v.optional(channels(), 4),
  up_block_types: v.optional(list(v.picklist(["UpBlock2D", "CrossAttnUpBlock2D"])), [
    "UpBlock2D",
    "CrossAttnUpBlock2D",
    "CrossAttnUpBlock2D",
    "CrossAttnUpBlock2D",
  ]),
  attention_type: only("default"),
  time_embedding_type: only("positional"),
  resnet_out_scale_factor: only(1),
  conv_in_kernel: only(3),
  conv_out_kernel: only(3),
});

/** Sizes of training samples, training-time dropout, precision hints, and a size without its layer. */
const HARMLESS = ["sample_size", "dropout", "upcast_attention", "addition_embed_type_num_heads"];

/**
 * Parses `unet/config.json`; missing keys get diffusers' defaults. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseUNetConfig(json: unknown, where: string): UNetConfig {
  return toUNetConfig(parseConfig(schema, json, { where, harmless: HARMLESS, check: problemsBetweenKeys }));
}

function toUNetConfig(raw: v.InferOutput<typeof schema>): UNetConfig {
  return {
    ...attentionTrunkOf(raw),
    out_channels: raw.out_channels,
    up_block_types: raw.up_block_types,
  };
}

/** Only the keys of `AttentionTrunkConfig`, each with a value per block where it has one. */
export function attentionTrunkOf(
  raw: Omit<AttentionTrunkConfig, "heads" | "only_cross_attention"> & {
    readonly only_cross_attention: boolean | boolean[];
    readonly attention_head_dim: number | number[];
  },
): AttentionTrunkConfig {
  return {
    ...trunkOf(raw),
    down_block_types: raw.down_block_types,
    only_cross_attention: perBlock(raw.only_cross_attention, raw.block_out_channels.length),
    heads: perBlock(raw.attention_head_dim, raw.block_out_channels.length),
    cross_attention_dim: raw.cross_attention_dim,
  };
}

/** Only the keys of `TrunkConfig`. */
export function trunkOf(raw: TrunkConfig): TrunkConfig {
  return {
    in_channels: raw.in_channels,
    block_out_channels: raw.block_out_channels,
    layers_per_block: raw.layers_per_block,
    norm_num_groups: raw.norm_num_groups,
    norm_eps: raw.norm_eps,
    num_class_embeds: raw.num_class_embeds,
    flip_sin_to_cos: raw.flip_sin_to_cos,
    freq_shift: raw.freq_shift,
  };
}

/** Problems between the keys of a trunk: group norms and the sinusoid must come out even. */
export function trunkProblems(trunk: TrunkConfig): string[] {
  const problems = groupProblems(trunk.block_out_channels, trunk.norm_num_groups);
  const sinusoid = trunk.block_out_channels[0]!;
  if (sinusoid % 2 !== 0) problems.push(`block_out_channels begins with ${sinusoid}, wanted an even number`);
  if (trunk.freq_shift >= sinusoid / 2) {
    problems.push(`freq_shift is ${trunk.freq_shift}, wanted less than ${sinusoid / 2}`);
  }
  return problems;
}

/** Problems between the keys of a trunk with attention; `up_block_types` are those of a network with a way up. */
export function attentionTrunkProblems(
  trunk: AttentionTrunkConfig,
  up_block_types?: readonly string[],
): string[] {
  const { block_out_channels, down_block_types, only_cross_attention, heads } = trunk;
  const length = block_out_channels.length;
  const problems = lengthProblems(
    {
      down_block_types,
      ...up_block_types && { up_block_types },
      only_cross_attention,
      attention_head_dim: heads,
    },
    { length, like: "block_out_channels" },
  );
  if (problems.length > 0) return problems;
  problems.push(...trunkProblems(trunk));
  for (const [i, count] of block_out_channels.entries()) {
    const attends = i === length - 1 || down_block_types[i] === "CrossAttnDownBlock2D" ||
      up_block_types?.[length - 1 - i] === "CrossAttnUpBlock2D";
    if (attends && count % heads[i]! !== 0) {
      problems.push(
        `attention_head_dim is ${heads[i]} heads, wanted a divisor of block_out_channels.${i}, ${count}`,
      );
    }
  }
  return problems;
}

function problemsBetweenKeys(raw: v.InferOutput<typeof schema>): string[] {
  return attentionTrunkProblems(toUNetConfig(raw), raw.up_block_types);
}

function perBlock<T>(value: T | T[], blocks: number): T[] {
  return Array.isArray(value) ? value : Array<T>(blocks).fill(value);
}
