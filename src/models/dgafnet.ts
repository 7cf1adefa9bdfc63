import type { DGAFNetConfig } from "../checkpoint/dgafnet_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { type DownBlock, MidBlock, type UpBlock } from "../nn/unet_blocks.ts";
import type { Weights } from "../nn/weights.ts";
import type { Guidance } from "./unet.ts";
import { blockCommon, downBlocks, residualConv, TimeInputs, upBlocks } from "./unet_trunk.ts";

/** Inputs of DGAFNet beside latent, frame and guide. */
export interface DGAFNetInputs {
  /** Sinusoid of the timestep, [N or 1, 1, block_out_channels[0]]. */
  readonly sinusoid: Tensor;
  /** Row of the class embedding [1, 1, D], where the config has classes. */
  readonly classEmbedding?: Tensor | null;
  /** Factor of all residuals. */
  readonly conditioningScale: number;
}

/**
 * FTCM, the temporal module: a UNet without attention that turns the aligned latent of the neighbouring frame into
 * one residual per feature map of the UNet.
 */
export class DGAFNet {
  readonly config: DGAFNetConfig;
  readonly time: TimeInputs;
  readonly conv_in_condition: Conv2d;
  readonly down_blocks: readonly DownBlock[];
  readonly mid_block: MidBlock;
  readonly up_blocks: readonly UpBlock[];
  readonly dgafnet_down_blocks: readonly Conv2d[];
  readonly dgafnet_mid_block: Conv2d;
  readonly dgafnet_up_blocks: readonly Conv2d[];
  readonly #label: string;

  constructor(w: Weights, config: DGAFNetConfig) {
    const {
      block_out_channels: channels,
      in_channels,
      conditioning_channels: guide,
      layers_per_block: layers,
    } = config;
    const last = channels.length - 1;
    this.config = config;
    this.#label = w.label;
    this.time = new TimeInputs(w, config);
    this.conv_in_condition = new Conv2d(w.at("conv_in_condition"), {
      in: [guide, in_channels - guide, guide],
      out: channels[0]!,
      kernel: 3,
      padding: 1,
    });
    this.down_blocks = downBlocks(w, config, { attention: () => null });
    this.mid_block = new MidBlock(w.at("mid_block"), {
      ...blockCommon(config),
      channels: channels[last]!,
      attention: null,
      resnets: config.mid_block_type === "MidBlock2D" ? 2 : 1,
    });
    this.up_blocks = upBlocks(w, config, { attention: () => null });
    const perLevel = (level: number, resnets: number, resample: boolean) =>
      Array<number>(resnets + (resample ? 1 : 0)).fill(channels[level]!);
    const down = channels.flatMap((_, i) => perLevel(i, layers, i < last));
    const up = channels.flatMap((_, i) => perLevel(last - i, layers + 1, i < last));
    this.dgafnet_down_blocks = [channels[0]!, ...down].map((c, k) =>
      residualConv(w.at("dgafnet_down_blocks").at(k), c)
    );
    this.dgafnet_mid_block = residualConv(w.at("dgafnet_mid_block"), channels[last]!);
    this.dgafnet_up_blocks = up.map((c, k) => residualConv(w.at("dgafnet_up_blocks").at(k), c));
  }

  /**
   * Noisy latent z [N, h, w, L], frame y [N, h, w, 3] and aligned latent g [N, h, w, L] → the residuals, which are
   * made where they are added: each is a 1×1 convolution that takes the UNet's feature map as its addend.
   */
  forward(rec: Recorder, [z, y, g]: readonly [Tensor, Tensor, Tensor], inputs: DGAFNetInputs): Guidance {
    const time = this.time.forward(rec, inputs.sinusoid, inputs.classEmbedding ?? null);
    const block = { time, context: null, guide: null };
    let x = this.conv_in_condition.forward(rec, [z, y, g]);
    rec.tap(`${this.#label}.conv_in_condition`, x);
    const skips = [x];
    for (const down of this.down_blocks) {
      const result = down.forward(rec, x, block);
      x = result.x;
      skips.push(...result.skips);
    }
    const downs = [...skips];
    const mid = x = this.mid_block.forward(rec, x, block);
    const ups: Tensor[] = [];
    for (const up of this.up_blocks) {
      const mine = skips.splice(-up.resnets.length).reverse();
      const next = skips.at(-1);
      const size: [number, number] | undefined = next && [next.size(1), next.size(2)];
      const result = up.forward(rec, x, { ...block, skips: mine, size });
      x = result.x;
      ups.push(...result.features);
    }
    const scale = inputs.conditioningScale;
    return {
      down: (k, residual) => this.dgafnet_down_blocks[k]!.forward(rec, downs[k]!, { scale, residual }),
      mid: (residual) => this.dgafnet_mid_block.forward(rec, mid, { scale, residual }),
      up: (k, residual) => this.dgafnet_up_blocks[k]!.forward(rec, ups[k]!, { scale, residual }),
    };
  }
}
