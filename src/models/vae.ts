import type { VAEConfig } from "../checkpoint/vae_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { PixelAttention } from "../nn/attention.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { GroupNorm } from "../nn/group_norm.ts";
import { Downsample, Upsample } from "../nn/resample.ts";
import { ResnetBlock } from "../nn/resnet_block.ts";
import type { Weights } from "../nn/weights.ts";

/** Epsilon of all of AutoencoderKL's norms; not in its config. */
const EPS = 1e-6;

/** The decoder half of diffusers' AutoencoderKL, with `post_quant_conv`. */
export class VAEDecoder {
  readonly config: VAEConfig;
  readonly post_quant_conv: Conv2d;
  readonly conv_in: Conv2d;
  readonly mid_block: VAEMidBlock;
  readonly up_blocks: readonly VAEUpBlock[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;
  readonly #label: string;

  /** `w` is the whole autoencoder's; the encoder's tensors are left in the file. */
  constructor(w: Weights, config: VAEConfig) {
    const { latent_channels: latent, norm_num_groups: groups, mid_block_add_attention: attention } = config;
    const channels = config.block_out_channels.toReversed();
    const first = channels[0]!, last = channels.at(-1)!;
    this.config = config;
    this.post_quant_conv = new Conv2d(w.at("post_quant_conv"), { in: latent, out: latent, kernel: 1 });
    const d = w.at("decoder");
    this.#label = d.label;
    this.conv_in = new Conv2d(d.at("conv_in"), { in: latent, out: first, kernel: 3, padding: 1 });
    this.mid_block = new VAEMidBlock(d.at("mid_block"), { channels: first, groups, attention });
    this.up_blocks = channels.map((out, i) =>
      new VAEUpBlock(d.at("up_blocks").at(i), {
        in: channels[Math.max(i - 1, 0)]!,
        out,
        layers: config.layers_per_block + 1,
        groups,
        upsample: i < channels.length - 1,
      })
    );
    this.conv_norm_out = new GroupNorm(d.at("conv_norm_out"), { channels: last, groups, eps: EPS });
    this.conv_out = new Conv2d(d.at("conv_out"), { in: last, out: 3, kernel: 3, padding: 1 });
    w.ignore("encoder");
    w.ignore("quant_conv");
  }

  /** Pixels of a picture per pixel of its latent, in each direction. */
  get factor(): number {
    return 2 ** (this.up_blocks.length - 1);
  }

  /**
   * Latent [N, h, w, L], already divided by `scaling_factor` → picture [N, f·h, f·w, 3] around [-1, 1], not
   * clamped; f is `factor`.
   */
  forward(rec: Recorder, z: Tensor): Tensor {
    let x = this.post_quant_conv.forward(rec, z);
    x = this.conv_in.forward(rec, x);
    rec.tap(`${this.#label}.conv_in`, x);
    x = this.mid_block.forward(rec, x);
    for (const block of this.up_blocks) x = block.forward(rec, x);
    return this.conv_out.forward(rec, x, { norm: this.conv_norm_out.measure(rec, x, "silu") });
  }
}

/** The encoder half of diffusers' AutoencoderKL, with `quant_conv`. */
export class VAEEncoder {
  readonly config: VAEConfig;
  readonly conv_in: Conv2d;
  readonly down_blocks: readonly VAEDownBlock[];
  readonly mid_block: VAEMidBlock;
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;
  readonly quant_conv: Conv2d;
  readonly #label: string;

  /** `w` is the whole autoencoder's; the decoder's tensors are left in the file. */
  constructor(w: Weights, config: VAEConfig) {
    const { block_out_channels: channels, latent_channels: latent, norm_num_groups: groups } = config;
    const last = channels.at(-1)!;
    const e = w.at("encoder");
    this.config = config;
    this.#label = e.label;
    this.conv_in = new Conv2d(e.at("conv_in"), { in: 3, out: channels[0]!, kernel: 3, padding: 1 });
    this.down_blocks = channels.map((out, i) =>
      new VAEDownBlock(e.at("down_blocks").at(i), {
        in: channels[Math.max(i - 1, 0)]!,
        out,
        layers: config.layers_per_block,
        groups,
        downsample: i < channels.length - 1,
      })
    );
    const attention = config.mid_block_add_attention;
    this.mid_block = new VAEMidBlock(e.at("mid_block"), { channels: last, groups, attention });
    this.conv_norm_out = new GroupNorm(e.at("conv_norm_out"), { channels: last, groups, eps: EPS });
    this.conv_out = new Conv2d(e.at("conv_out"), { in: last, out: 2 * latent, kernel: 3, padding: 1 });
    this.quant_conv = new Conv2d(w.at("quant_conv"), { in: 2 * latent, out: 2 * latent, kernel: 1 });
    w.ignore("decoder");
    w.ignore("post_quant_conv");
  }

  /** Picture [N, H, W, 3] in [-1, 1] → moments [N, h, w, 2·L]: the mean, then the log-variance, not clamped. */
  forward(rec: Recorder, picture: Tensor): Tensor {
    let x = this.conv_in.forward(rec, picture);
    rec.tap(`${this.#label}.conv_in`, x);
    for (const block of this.down_blocks) x = block.forward(rec, x);
    x = this.mid_block.forward(rec, x);
    x = this.conv_out.forward(rec, x, { norm: this.conv_norm_out.measure(rec, x, "silu") });
    return this.quant_conv.forward(rec, x);
  }
}

interface VAEBlockConfig {
  readonly in: number;
  readonly out: number;
  readonly layers: number;
  readonly groups: number;
}

/** diffusers' UpDecoderBlock2D. */
class VAEUpBlock {
  readonly resnets: readonly ResnetBlock[];
  readonly upsamplers: readonly Upsample[];
  readonly #label: string;

  constructor(w: Weights, config: VAEBlockConfig & { readonly upsample: boolean }) {
    this.resnets = resnets(w, config);
    this.upsamplers = config.upsample ? [new Upsample(w.at("upsamplers").at(0), config.out)] : [];
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor): Tensor {
    for (const resnet of this.resnets) x = resnet.forward(rec, x, null);
    for (const upsampler of this.upsamplers) x = upsampler.forward(rec, x);
    rec.tap(this.#label, x);
    return x;
  }
}

/** diffusers' DownEncoderBlock2D. */
class VAEDownBlock {
  readonly resnets: readonly ResnetBlock[];
  readonly downsamplers: readonly Downsample[];
  readonly #label: string;

  constructor(w: Weights, config: VAEBlockConfig & { readonly downsample: boolean }) {
    this.resnets = resnets(w, config);
    this.downsamplers = config.downsample ? [new Downsample(w.at("downsamplers").at(0), config.out, 0)] : [];
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor): Tensor {
    for (const resnet of this.resnets) x = resnet.forward(rec, x, null);
    for (const downsampler of this.downsamplers) x = downsampler.forward(rec, x);
    rec.tap(this.#label, x);
    return x;
  }
}

/** diffusers' UNetMidBlock2D of the autoencoder: ResNet block, attention over all pixels if any, ResNet block. */
class VAEMidBlock {
  readonly resnets: readonly ResnetBlock[];
  readonly attentions: readonly PixelAttention[];
  readonly #label: string;

  constructor(
    w: Weights,
    config: { readonly channels: number; readonly groups: number; readonly attention: boolean },
  ) {
    const { channels, groups } = config;
    this.resnets = resnets(w, { in: channels, out: channels, layers: 2, groups });
    this.attentions = config.attention
      ? [new PixelAttention(w.at("attentions").at(0), { channels, groups, eps: EPS })]
      : [];
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor): Tensor {
    x = this.resnets[0]!.forward(rec, x, null);
    for (const attention of this.attentions) x = attention.forward(rec, x);
    x = this.resnets[1]!.forward(rec, x, null);
    rec.tap(this.#label, x);
    return x;
  }
}

function resnets(w: Weights, config: VAEBlockConfig): ResnetBlock[] {
  const { out, layers, groups } = config;
  return Array.from(
    { length: layers },
    (_, i) =>
      new ResnetBlock(w.at("resnets").at(i), {
        in: i === 0 ? config.in : out,
        out,
        timeChannels: null,
        groups,
        eps: EPS,
      }),
  );
}
