import * as v from "valibot";
import { channels, lengthProblems, list, only, parseConfig, real } from "./config_schema.ts";
import { type TrunkConfig, trunkEntries, trunkOf, trunkProblems } from "./unet_config.ts";

/** Configuration of the temporal module, `DGAFNetModel`. */
export interface DGAFNetConfig extends TrunkConfig {
  readonly conditioning_channels: number;
  /** `MidBlock2D` has two ResNet blocks, `UNetMidBlock2D` one. */
  readonly mid_block_type: "MidBlock2D" | "UNetMidBlock2D";
  /** What the residuals were made to be multiplied with; null if the file does not say. */
  readonly conditioning_scale: number | null;
}

const schema = v.object({
  ...trunkEntries,
  _class_name: only("DGAFNetModel"),
  conditioning_channels: v.optional(channels(), 4),
  mid_block_type: v.optional(v.picklist(["MidBlock2D", "UNetMidBlock2D"]), "UNetMidBlock2D"),
  down_block_types: v.optional(list(v.literal("DownBlock2D"))),
  up_block_types: v.optional(list(v.literal("UpBlock2D"))),
  conditioning_scale: v.optional(v.nullable(real(0, 100)), null),
});

/** Keys of the UNet and the ControlNet it is derived from that concern attention and pictures: it has neither. */
const HARMLESS = [
  "sample_size",
  "only_cross_attention",
  "attention_head_dim",
  "num_attention_heads",
  "cross_attention_dim",
  "use_linear_projection",
  "upcast_attention",
  "transformer_layers_per_block",
  "addition_embed_type_num_heads",
  "conditioning_embedding_out_channels",
  "controlnet_conditioning_channel_order",
];

/**
 * Parses `dgafnet/config.json`; missing keys get the class's defaults. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseDGAFNetConfig(json: unknown, where: string): DGAFNetConfig {
  const raw = parseConfig(schema, json, { where, harmless: HARMLESS, check: problemsBetweenKeys });
  return {
    ...trunkOf(raw),
    conditioning_channels: raw.conditioning_channels,
    mid_block_type: raw.mid_block_type,
    conditioning_scale: raw.conditioning_scale,
  };
}

function problemsBetweenKeys(raw: v.InferOutput<typeof schema>): string[] {
  const { block_out_channels, down_block_types, up_block_types } = raw;
  const types = { ...down_block_types && { down_block_types }, ...up_block_types && { up_block_types } };
  const lengths = { length: block_out_channels.length, like: "block_out_channels" };
  return [...lengthProblems(types, lengths), ...trunkProblems(raw)];
}
