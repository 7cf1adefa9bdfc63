import type { ControlNetConfig } from "../checkpoint/controlnet_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { type DownBlock, MidBlock } from "../nn/unet_blocks.ts";
import type { Weights } from "../nn/weights.ts";
import type { Guidance } from "./unet.ts";
import {
  attentionOf,
  blockCommon,
  downAttention,
  downBlocks,
  residualConv,
  TimeInputs,
} from "./unet_trunk.ts";

/** Inputs of ControlNet beside latent, frame and picture. */
export interface ControlNetInputs {
  /** Sinusoid of the timestep, [N or 1, 1, block_out_channels[0]]. */
  readonly sinusoid: Tensor;
  /** Text embedding [N or 1, S, cross_attention_dim], constant. */
  readonly context: Tensor;
  /** Row of the class embedding [1, 1, D], where the config has classes. */
  readonly classEmbedding?: Tensor | null;
  /** Factor of all residuals. */
  readonly conditioningScale: number;
}

/** diffusers' ControlNetConditioningEmbedding: a picture as features of the latent's size. */
export class ConditioningEmbedding {
  readonly conv_in: Conv2d;
  readonly blocks: readonly Conv2d[];
  readonly conv_out: Conv2d;
  readonly #label: string;

  constructor(
    w: Weights,
    config: { readonly in: number; readonly channels: readonly number[]; readonly out: number },
  ) {
    const { channels } = config;
    const conv = (at: Weights, options: { in: number; out: number; stride?: number }) =>
      new Conv2d(at, { ...options, kernel: 3, padding: 1 });
    this.#label = w.label;
    this.conv_in = conv(w.at("conv_in"), { in: config.in, out: channels[0]! });
    this.blocks = channels.slice(1).flatMap((out, i) => [
      conv(w.at("blocks").at(2 * i), { in: channels[i]!, out: channels[i]! }),
      conv(w.at("blocks").at(2 * i + 1), { in: channels[i]!, out, stride: 2 }),
    ]);
    this.conv_out = conv(w.at("conv_out"), { in: channels.at(-1)!, out: config.out });
  }

  /** Picture [N, f·h, f·w, C] → [N, h, w, out]; f is 2^(channels - 1). */
  forward(rec: Recorder, picture: Tensor): Tensor {
    let x = this.conv_in.forward(rec, picture, { activation: "silu" });
    for (const block of this.blocks) x = block.forward(rec, x, { activation: "silu" });
    x = this.conv_out.forward(rec, x);
    rec.tap(this.#label, x);
    return x;
  }
}

/**
 * diffusers' ControlNetModel, StableVSR's temporal module: a copy of the UNet's way down that sees the warped
 * neighbour as a picture, and makes one residual per skip connection and one for the mid block.
 */
export class ControlNet {
  readonly config: ControlNetConfig;
  readonly time: TimeInputs;
  readonly conv_in: Conv2d;
  readonly controlnet_cond_embedding: ConditioningEmbedding;
  readonly down_blocks: readonly DownBlock[];
  readonly mid_block: MidBlock;
  readonly controlnet_down_blocks: readonly Conv2d[];
  readonly controlnet_mid_block: Conv2d;

  /** `latentChannels` of `in_channels` are the noisy latent's, the others the frame's. */
  constructor(w: Weights, config: ControlNetConfig, latentChannels: number) {
    const { block_out_channels: channels, in_channels, layers_per_block: layers } = config;
    const first = channels[0]!, last = channels.length - 1;
    this.config = config;
    this.time = new TimeInputs(w, config);
    this.conv_in = new Conv2d(w.at("conv_in"), {
      in: [latentChannels, in_channels - latentChannels],
      out: first,
      kernel: 3,
      padding: 1,
    });
    this.controlnet_cond_embedding = new ConditioningEmbedding(w.at("controlnet_cond_embedding"), {
      in: config.conditioning_channels,
      channels: config.conditioning_embedding_out_channels,
      out: first,
    });
    this.down_blocks = downBlocks(w, config, { attention: (level) => downAttention(config, level) });
    this.mid_block = new MidBlock(w.at("mid_block"), {
      ...blockCommon(config),
      channels: channels[last]!,
      attention: { ...attentionOf(config, last), onlyCrossAttention: false },
      resnets: 2,
    });
    const skips = channels.flatMap((count, i) => Array<number>(layers + (i < last ? 1 : 0)).fill(count));
    this.controlnet_down_blocks = [first, ...skips].map((count, k) =>
      residualConv(w.at("controlnet_down_blocks").at(k), count)
    );
    this.controlnet_mid_block = residualConv(w.at("controlnet_mid_block"), channels[last]!);
  }

  /**
   * Noisy latent z [N, h, w, L], frame y [N, h, w, 3] and picture [N, f·h, f·w, conditioning_channels] → the
   * residuals, which are made where they are added: each is a 1×1 convolution that takes the UNet's feature map as its
   * addend.
   */
  forward(
    rec: Recorder,
    [z, y, picture]: readonly [Tensor, Tensor, Tensor],
    inputs: ControlNetInputs,
  ): Guidance {
    const time = this.time.forward(rec, inputs.sinusoid, inputs.classEmbedding ?? null);
    const block = { time, context: inputs.context, guide: null };
    const accumulate = this.controlnet_cond_embedding.forward(rec, picture);
    let x = this.conv_in.forward(rec, [z, y], { accumulate });
    const skips = [x];
    for (const down of this.down_blocks) {
      const result = down.forward(rec, x, block);
      x = result.x;
      skips.push(...result.skips);
    }
    const mid = this.mid_block.forward(rec, x, block);
    const scale = inputs.conditioningScale;
    return {
      skip: (k, residual) => this.controlnet_down_blocks[k]!.forward(rec, skips[k]!, { scale, residual }),
      mid: (residual) => this.controlnet_mid_block.forward(rec, mid, { scale, residual }),
    };
  }
}
