import * as v from "valibot";
import { channels, integer, list, MAX_WEIGHT_BYTES, only, parseConfig, real } from "./config_schema.ts";

/** Configuration of transformers' `CLIPTextModel`, as far as it is supported. */
export interface CLIPTextConfig {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  /** A divisor of `hidden_size`, with a multiple of 4 and at most 512 channels each. */
  readonly num_attention_heads: number;
  /** Tokens of a prompt at most. */
  readonly max_position_embeddings: number;
  /** `gelu` is the exact one with erf, `quick_gelu` x · sigmoid(1.702 x). */
  readonly hidden_act: "gelu" | "quick_gelu";
  readonly layer_norm_eps: number;
}

const schema = v.object({
  _class_name: only("CLIPTextModel"),
  architectures: v.optional(list(v.literal("CLIPTextModel")), ["CLIPTextModel"]),
  model_type: only("clip_text_model"),
  vocab_size: v.optional(integer(1, 1_000_000), 49_408),
  hidden_size: v.optional(channels(), 512),
  intermediate_size: v.optional(integer(1, 16_384), 2048),
  num_hidden_layers: v.optional(integer(1, 64), 12),
  num_attention_heads: v.optional(integer(1, 256), 8),
  max_position_embeddings: v.optional(integer(2, 1024), 77),
  hidden_act: v.optional(v.picklist(["gelu", "quick_gelu"]), "quick_gelu"),
  layer_norm_eps: v.optional(real(0, 1, { above: true }), 1e-5),
});

/** What concerns training, generating text, a projection that this class has not, and the tokenizer's own files. */
const HARMLESS = [
  "attention_dropout",
  "bos_token_id",
  "dropout",
  "dtype",
  "eos_token_id",
  "initializer_factor",
  "initializer_range",
  "pad_token_id",
  "projection_dim",
  "torch_dtype",
  "transformers_version",
];

/**
 * Parses `text_encoder/config.json`; missing keys get transformers' defaults. `where` is what errors call the file.
 * Throws a ConfigError that lists everything malformed or not supported.
 */
export function parseCLIPTextConfig(json: unknown, where: string): CLIPTextConfig {
  const raw = parseConfig(schema, json, { where, harmless: HARMLESS, check: problemsBetweenKeys });
  return {
    vocab_size: raw.vocab_size,
    hidden_size: raw.hidden_size,
    intermediate_size: raw.intermediate_size,
    num_hidden_layers: raw.num_hidden_layers,
    num_attention_heads: raw.num_attention_heads,
    max_position_embeddings: raw.max_position_embeddings,
    hidden_act: raw.hidden_act,
    layer_norm_eps: raw.layer_norm_eps,
  };
}

function problemsBetweenKeys(raw: v.InferOutput<typeof schema>): string[] {
  const { vocab_size, hidden_size, num_attention_heads } = raw;
  const problems: string[] = [];
  const headChannels = hidden_size / num_attention_heads;
  if (headChannels % 4 !== 0 || headChannels > 512) {
    problems.push(
      `num_attention_heads is ${num_attention_heads}, wanted a divisor of hidden_size, ${hidden_size}, that leaves ` +
        `each head a multiple of 4 and at most 512 channels`,
    );
  }
  const tableBytes = 4 * vocab_size * hidden_size;
  if (tableBytes >= MAX_WEIGHT_BYTES) {
    problems.push(
      `vocab_size is ${vocab_size}, which makes a table of ${tableBytes} bytes, wanted less than ${MAX_WEIGHT_BYTES}`,
    );
  }
  return problems;
}
