import * as v from "valibot";
import { channels, integer, list, MAX_WEIGHT_BYTES, only, parseConfig } from "./config_schema.ts";

/** Residual block of RAFT's encoders. */
export type RAFTBlock = "ResidualBlock" | "BottleneckBlock";
/** Norm of RAFT's encoders; null for none. */
export type RAFTNorm = "InstanceNorm2d" | "BatchNorm2d" | null;

/** Configuration of RAFT: the arguments of torchvision's builder, and the last three keys. */
export interface RAFTConfig {
  /** Five channel counts: stem, three stages, output. */
  readonly feature_encoder_layers: readonly number[];
  readonly feature_encoder_block: RAFTBlock;
  readonly feature_encoder_norm_layer: RAFTNorm;
  readonly context_encoder_layers: readonly number[];
  readonly context_encoder_block: RAFTBlock;
  readonly context_encoder_norm_layer: RAFTNorm;
  readonly corr_block_num_levels: number;
  readonly corr_block_radius: number;
  /** One or two channel counts. */
  readonly motion_encoder_corr_layers: readonly number[];
  /** Two channel counts. */
  readonly motion_encoder_flow_layers: readonly number[];
  readonly motion_encoder_out_channels: number;
  readonly recurrent_block_hidden_state_size: number;
  /** [height, width] of each ConvGRU's kernel, one or two, all odd. */
  readonly recurrent_block_kernel_size: readonly (readonly [number, number])[];
  readonly flow_head_hidden_size: number;
  readonly use_mask_predictor: boolean;
  readonly mask_predictor_hidden_size: number;
  /** Statistics that batch norms use: of the picture at hand, or the checkpoint's. */
  readonly batch_norm_statistics: "image" | "running";
  readonly num_flow_updates: number;
}

const layers = v.optional(list(channels(), { min: 5, max: 5 }), [64, 64, 96, 128, 256]);
const block = v.optional(v.picklist(["ResidualBlock", "BottleneckBlock"]), "ResidualBlock");
const norm = v.nullable(v.picklist(["InstanceNorm2d", "BatchNorm2d"]));
const kernelSize = v.pipe(integer(1, 15), v.check((n) => n % 2 === 1, "an odd number"));

const schema = v.object({
  _class_name: only("RAFT"),
  feature_encoder_layers: layers,
  feature_encoder_block: block,
  feature_encoder_norm_layer: v.optional(norm, "InstanceNorm2d"),
  context_encoder_layers: layers,
  context_encoder_block: block,
  context_encoder_norm_layer: v.optional(norm, "BatchNorm2d"),
  corr_block_num_levels: v.optional(integer(1, 6), 4),
  corr_block_radius: v.optional(integer(1, 8), 4),
  motion_encoder_corr_layers: v.optional(list(channels(), { min: 1, max: 2 }), [256, 192]),
  motion_encoder_flow_layers: v.optional(list(channels(), { min: 2, max: 2 }), [128, 64]),
  motion_encoder_out_channels: v.optional(integer(3, 4096), 128),
  recurrent_block_hidden_state_size: v.optional(channels(), 128),
  recurrent_block_kernel_size: v.optional(
    list(v.union([kernelSize, v.strictTuple([kernelSize, kernelSize])]), { min: 1, max: 2 }),
    [[1, 5], [5, 1]],
  ),
  flow_head_hidden_size: v.optional(channels(), 256),
  use_mask_predictor: v.optional(v.boolean(), true),
  mask_predictor_hidden_size: v.optional(channels(), 256),
  batch_norm_statistics: v.optional(v.picklist(["image", "running"]), "image"),
  num_flow_updates: v.optional(integer(1, 1000), 12),
});

/**
 * Parses `flow/config.json`; missing keys get the values of torchvision's `raft_large`, and statistics of the
 * picture at hand. `where` is what errors call the file. Throws a ConfigError that lists every problem.
 */
export function parseRAFTConfig(json: unknown, where: string): RAFTConfig {
  const { _class_name, ...raw } = parseConfig(schema, json, {
    where,
    harmless: [],
    check: problemsBetweenKeys,
  });
  return {
    ...raw,
    recurrent_block_kernel_size: raw.recurrent_block_kernel_size.map((size) =>
      typeof size === "number" ? [size, size] as const : size
    ),
  };
}

function problemsBetweenKeys(raw: v.InferOutput<typeof schema>): string[] {
  const problems: string[] = [];
  const contextChannels = raw.context_encoder_layers[4]!;
  if (raw.recurrent_block_hidden_state_size >= contextChannels) {
    problems.push(
      `recurrent_block_hidden_state_size is ${raw.recurrent_block_hidden_state_size}, ` +
        `wanted less than the last of context_encoder_layers, ${contextChannels}`,
    );
  }
  if (raw.feature_encoder_norm_layer === "BatchNorm2d" && raw.batch_norm_statistics === "image") {
    problems.push(
      'feature_encoder_norm_layer is "BatchNorm2d" with batch_norm_statistics "image": torchvision pools both pictures ' +
        'then, here each is encoded once for all its pairs; wanted "running" or another norm',
    );
  }
  const gruChannels = contextChannels + raw.motion_encoder_out_channels;
  for (const size of raw.recurrent_block_kernel_size) {
    const [height, width] = typeof size === "number" ? [size, size] : size;
    const bytes = 4 * gruChannels * raw.recurrent_block_hidden_state_size * height * width;
    if (bytes >= MAX_WEIGHT_BYTES) {
      problems.push(
        `recurrent_block_kernel_size has ${height}×${width}, which makes weights of ${bytes} bytes, ` +
          `wanted less than ${MAX_WEIGHT_BYTES}`,
      );
    }
  }
  for (const encoder of ["feature_encoder", "context_encoder"] as const) {
    if (raw[`${encoder}_block`] !== "BottleneckBlock") continue;
    const odd = raw[`${encoder}_layers`].slice(1, 4).filter((count) => count % 4 !== 0);
    problems.push(
      ...odd.map((count) => `${encoder}_layers has ${count}, wanted a multiple of 4 for BottleneckBlock`),
    );
  }
  return problems;
}
