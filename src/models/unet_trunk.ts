import type { AttentionTrunkConfig, TrunkConfig } from "../checkpoint/unet_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { TimestepEmbedding, timestepEmbedding } from "../nn/timestep_embedding.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { type BlockAttention, DownBlock, type UNetCommon, UpBlock } from "../nn/unet_blocks.ts";
import type { Weights } from "../nn/weights.ts";

/** Channels of the time embedding. */
function timeChannels(config: TrunkConfig): number {
  return 4 * config.block_out_channels[0]!;
}

/** What is the same in all blocks of a network. */
export function blockCommon(config: TrunkConfig): UNetCommon {
  return {
    layers: config.layers_per_block,
    timeChannels: timeChannels(config),
    groups: config.norm_num_groups,
    eps: config.norm_eps,
  };
}

/** Attention at a level of the UNet or ControlNet, 0 being the finest. */
export function attentionOf(config: AttentionTrunkConfig, level: number): BlockAttention {
  return {
    heads: config.heads[level]!,
    contextChannels: config.cross_attention_dim,
    onlyCrossAttention: config.only_cross_attention[level]!,
  };
}

/** The same on the way down, where a block may have none. */
export function downAttention(config: AttentionTrunkConfig, level: number): BlockAttention | null {
  return config.down_block_types[level] === "CrossAttnDownBlock2D" ? attentionOf(config, level) : null;
}

/** The way down, from the finest level to the coarsest. */
export function downBlocks(
  w: Weights,
  config: TrunkConfig,
  { attention }: { readonly attention: (level: number) => BlockAttention | null },
): DownBlock[] {
  const channels = config.block_out_channels, last = channels.length - 1;
  return channels.map((out, level) =>
    new DownBlock(w.at("down_blocks").at(level), {
      ...blockCommon(config),
      in: channels[Math.max(level - 1, 0)]!,
      out,
      attention: attention(level),
      downsample: level < last,
    })
  );
}

/** The way up, from the coarsest level to the finest. */
export function upBlocks(
  w: Weights,
  config: TrunkConfig,
  { attention }: { readonly attention: (level: number) => BlockAttention | null },
): UpBlock[] {
  const channels = config.block_out_channels, last = channels.length - 1;
  return channels.map((_, i) => {
    const level = last - i;
    return new UpBlock(w.at("up_blocks").at(i), {
      ...blockCommon(config),
      previous: channels[Math.min(level + 1, last)]!,
      skips: upBlockSkips(config, level),
      out: channels[level]!,
      attention: attention(level),
      upsample: level > 0,
    });
  });
}

/** What makes a residual of a feature map: a 1×1 convolution. */
export function residualConv(w: Weights, channels: number): Conv2d {
  return new Conv2d(w, { in: channels, out: channels, kernel: 1 });
}

/** Channels of the skip connections that the up block of a level uses, in their order. */
function upBlockSkips(config: TrunkConfig, level: number): number[] {
  const channels = config.block_out_channels;
  const same = Array<number>(config.layers_per_block).fill(channels[level]!);
  return [...same, channels[Math.max(level - 1, 0)]!];
}

/** The time embedding and, where the config has classes, the class embedding of a UNet, DGAFNet or ControlNet. */
export class TimeInputs {
  readonly time_embedding: TimestepEmbedding;
  readonly #config: TrunkConfig;
  #classes: Float32Array | null = null;

  constructor(w: Weights, config: TrunkConfig) {
    const out = timeChannels(config);
    this.#config = config;
    this.time_embedding = new TimestepEmbedding(w.at("time_embedding"), {
      in: config.block_out_channels[0]!,
      out,
    });
    if (config.num_class_embeds) {
      w.at("class_embedding").host("weight", [config.num_class_embeds, out], (data) => this.#classes = data);
    }
  }

  /** Values of the sinusoid of timestep `t`, block_out_channels[0] of them. */
  sinusoid(t: number): Float32Array {
    const { block_out_channels, flip_sin_to_cos: flipSinToCos, freq_shift: freqShift } = this.#config;
    return timestepEmbedding(t, block_out_channels[0]!, { flipSinToCos, freqShift });
  }

  /** Row `label` of the class embedding. Throws `RangeError` where the config has no such class. */
  classEmbedding(label: number): Float32Array {
    const count = this.#config.num_class_embeds ?? 0, size = timeChannels(this.#config);
    if (!this.#classes || !Number.isInteger(label) || label < 0 || label >= count) {
      throw new RangeError(`Cannot embed class ${label}: this model has ${count} classes`);
    }
    return this.#classes.slice(label * size, (label + 1) * size);
  }

  /** Sinusoid [N, 1, C], class embedding [1, 1, D] or null → SiLU(embedding) [N, 1, D], computed once per step. */
  forward(rec: Recorder, sinusoid: Tensor, classEmbedding: Tensor | null): Tensor {
    if (!!this.#config.num_class_embeds !== !!classEmbedding) {
      throw new TypeError(
        `Cannot embed time: a class embedding was ${
          classEmbedding ? "" : "not "
        }given, num_class_embeds is ${this.#config.num_class_embeds}`,
      );
    }
    return rec.stepwise(() =>
      this.time_embedding.forward(rec, sinusoid, { classEmbedding, activation: "silu" })
    );
  }
}
