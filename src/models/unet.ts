import type { UNetConfig } from "../checkpoint/unet_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { GroupNorm } from "../nn/group_norm.ts";
import { type DownBlock, MidBlock, type UpBlock } from "../nn/unet_blocks.ts";
import type { Weights } from "../nn/weights.ts";
import { attentionOf, blockCommon, downAttention, downBlocks, TimeInputs, upBlocks } from "./unet_trunk.ts";

/** Adds a temporal module's residuals to the UNet's feature maps, where it has any. */
export interface Guidance {
  /** Feature map `k` of the way down: 0 is conv_in's, then one per ResNet block and downsampler. */
  down?(k: number, x: Tensor): Tensor;
  /** The same feature maps as skip connections, without effect on the way down. */
  skip?(k: number, x: Tensor): Tensor;
  mid(x: Tensor): Tensor;
  /** Feature map `k` of the way up: one per ResNet block and upsampler. */
  up?(k: number, x: Tensor): Tensor;
}

/** Inputs of the UNet beside the noisy latent and the frame. */
export interface UNetInputs {
  /** Sinusoid of the timestep, [N or 1, 1, block_out_channels[0]]. */
  readonly sinusoid: Tensor;
  /** Text embedding [N or 1, S, cross_attention_dim], constant: what depends on it is computed once per plan. */
  readonly context: Tensor;
  /** Row of the class embedding [1, 1, D], where the config has classes. */
  readonly classEmbedding?: Tensor | null;
  /** Null for a frame without guidance. */
  readonly guidance?: Guidance | null;
}

/** diffusers' UNet2DConditionModel, as the x4-upscaler family configures it. */
export class UNet {
  readonly config: UNetConfig;
  readonly time: TimeInputs;
  readonly conv_in: Conv2d;
  readonly down_blocks: readonly DownBlock[];
  readonly mid_block: MidBlock;
  readonly up_blocks: readonly UpBlock[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;
  readonly #label: string;

  constructor(w: Weights, config: UNetConfig) {
    const { block_out_channels: channels, out_channels, in_channels } = config;
    const first = channels[0]!, last = channels.length - 1, common = blockCommon(config);
    this.config = config;
    this.#label = w.label;
    this.time = new TimeInputs(w, config);
    this.conv_in = new Conv2d(w.at("conv_in"), {
      in: [out_channels, in_channels - out_channels],
      out: first,
      kernel: 3,
      padding: 1,
    });
    this.down_blocks = downBlocks(w, config, { attention: (level) => downAttention(config, level) });
    this.mid_block = new MidBlock(w.at("mid_block"), {
      ...common,
      channels: channels[last]!,
      attention: { ...attentionOf(config, last), onlyCrossAttention: false },
      resnets: 2,
    });
    this.up_blocks = upBlocks(w, config, {
      attention: (level) =>
        config.up_block_types[last - level] === "CrossAttnUpBlock2D" ? attentionOf(config, level) : null,
    });
    this.conv_norm_out = new GroupNorm(w.at("conv_norm_out"), {
      channels: first,
      groups: common.groups,
      eps: common.eps,
    });
    this.conv_out = new Conv2d(w.at("conv_out"), { in: first, out: out_channels, kernel: 3, padding: 1 });
  }

  /**
   * Noisy latent z [N, h, w, out_channels] and frame y [N, h, w, in_channels - out_channels] → network output
   * [N, h, w, out_channels].
   */
  forward(rec: Recorder, [z, y]: readonly [Tensor, Tensor], inputs: UNetInputs): Tensor {
    const { guidance, context } = inputs;
    const time = this.time.forward(rec, inputs.sinusoid, inputs.classEmbedding ?? null);
    let downs = 0, ups = 0;
    const down = {
      time,
      context,
      guide: guidance?.down ? (x: Tensor) => guidance.down!(downs++, x) : null,
    };
    const up = { time, context, guide: guidance?.up ? (x: Tensor) => guidance.up!(ups++, x) : null };

    let x = this.conv_in.forward(rec, [z, y]);
    rec.tap(`${this.#label}.conv_in`, x);
    let skips = [x]; // the one of conv_in stays without a residual of the way down
    x = down.guide?.(x) ?? x;
    for (const block of this.down_blocks) {
      const result = block.forward(rec, x, down);
      x = result.x;
      skips.push(...result.skips);
    }
    x = this.mid_block.forward(rec, x, down);
    x = guidance?.mid(x) ?? x;
    skips = skips.map((skip, k) => guidance?.skip?.(k, skip) ?? skip);
    for (const block of this.up_blocks) {
      const mine = skips.splice(-block.resnets.length).reverse();
      const next = skips.at(-1);
      const size: [number, number] | undefined = next && [next.size(1), next.size(2)];
      x = block.forward(rec, x, { ...up, skips: mine, size }).x;
    }
    return this.conv_out.forward(rec, x, { norm: this.conv_norm_out.measure(rec, x, "silu") });
  }
}
