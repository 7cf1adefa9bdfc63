import * as v from "valibot";
import { channels, list, only, parseConfig } from "./config_schema.ts";
import {
  type AttentionTrunkConfig,
  attentionTrunkEntries,
  attentionTrunkOf,
  attentionTrunkProblems,
} from "./unet_config.ts";

/** Configuration of diffusers' `ControlNetModel`, StableVSR's temporal module. */
export interface ControlNetConfig extends AttentionTrunkConfig {
  /** Channels of the picture. */
  readonly conditioning_channels: number;
  /** Of the layers that embed the picture; each but the first halves its size. */
  readonly conditioning_embedding_out_channels: readonly number[];
}

const schema = v.object({
  ...attentionTrunkEntries,
  _class_name: only("ControlNetModel"),
  conditioning_channels: v.optional(channels(), 3),
  conditioning_embedding_out_channels: v.optional(list(channels()), [16, 32, 96, 256]),
  controlnet_conditioning_channel_order: only("rgb"),
});

/** Sizes of training samples, a precision hint, and a size without its layer. */
const HARMLESS = ["sample_size", "upcast_attention", "addition_embed_type_num_heads"];

/**
 * Parses `controlnet/config.json`; missing keys get diffusers' defaults. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseControlNetConfig(json: unknown, where: string): ControlNetConfig {
  return toControlNetConfig(
    parseConfig(schema, json, {
      where,
      harmless: HARMLESS,
      check: (raw) => attentionTrunkProblems(toControlNetConfig(raw)),
    }),
  );
}

function toControlNetConfig(raw: v.InferOutput<typeof schema>): ControlNetConfig {
  return {
    ...attentionTrunkOf(raw),
    conditioning_channels: raw.conditioning_channels,
    conditioning_embedding_out_channels: raw.conditioning_embedding_out_channels,
  };
}
