import type { RAFTBlock, RAFTConfig, RAFTNorm } from "../checkpoint/raft_config.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activation.ts";
import { conv2d } from "../kernels/conv2d.ts";
import { batchNorm, type BatchNormOptions, instanceNorm } from "../kernels/group_norm.ts";
import { residualRelu } from "../kernels/elementwise.ts";
import { Conv2d } from "../nn/conv2d.ts";
import { matrixPacking } from "../nn/matrix_packing.ts";
import type { Weights } from "../nn/weights.ts";

/** Epsilon of torchvision's norms; not in the config. */
const EPS = 1e-5;

/** Some of the encoder's output channels. */
export interface RAFTEncoderOutput {
  readonly channels: number;
  readonly activation: Activation;
}

/** Sizes and options of one of the two encoders. */
export interface RAFTEncoderConfig {
  /** Channels of the stem, three stages and the output. */
  readonly layers: readonly number[];
  readonly block: RAFTBlock;
  readonly norm: RAFTNorm;
  readonly statistics: RAFTConfig["batch_norm_statistics"];
  /** The output's channels, cut into consecutive tensors. */
  readonly outputs: readonly RAFTEncoderOutput[];
}

/** torchvision's FeatureEncoder: picture → features at 1/8. */
export class RAFTEncoder {
  readonly convnormrelu: ConvNorm;
  readonly layers: readonly ResidualBlock[];
  readonly conv: SplitConv;

  constructor(w: Weights, config: RAFTEncoderConfig) {
    const [stem = 0, ...stages] = config.layers.slice(0, 4);
    this.convnormrelu = new ConvNorm(w.at("convnormrelu"), {
      ...config,
      in: 3,
      out: stem,
      kernel: 7,
      stride: 2,
    });
    this.layers = stages.flatMap((out, i) => {
      const layer = w.at(`layer${i + 1}`);
      const stride = i === 0 ? 1 : 2;
      return [
        new ResidualBlock(layer.at(0), { ...config, in: config.layers[i]!, out, stride }),
        new ResidualBlock(layer.at(1), { ...config, in: out, out, stride: 1 }),
      ];
    });
    this.conv = new SplitConv(w.at("conv"), { in: config.layers[3]!, outputs: config.outputs });
  }

  /** Picture [N, H, W, 3], H and W multiples of 8 → one tensor [N, H/8, W/8, channels] per output. */
  forward(rec: Recorder, picture: Tensor): Tensor[] {
    let x = this.convnormrelu.forward(rec, picture, "relu");
    for (const layer of this.layers) x = layer.forward(rec, x);
    return this.conv.forward(rec, x);
  }
}

interface NormConfig {
  readonly norm: RAFTNorm;
  readonly statistics: RAFTConfig["batch_norm_statistics"];
}

interface ConvNormConfig extends NormConfig {
  readonly in: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
}

/** torchvision's Conv2dNormActivation: convolution "0", norm "1" if any; padding keeps the size at stride 1. */
class ConvNorm {
  readonly conv: Conv2d;
  readonly norm: InstanceNorm2d | BatchNorm2d | null;

  constructor(w: Weights, config: ConvNormConfig) {
    const { in: channels, out, kernel, stride } = config;
    this.conv = new Conv2d(w.at(0), { in: channels, out, kernel, stride, padding: (kernel - 1) / 2 });
    this.norm = config.norm === "BatchNorm2d"
      ? new BatchNorm2d(w.at(1), { channels: out, statistics: config.statistics })
      : config.norm === "InstanceNorm2d"
      ? new InstanceNorm2d(w.at(1).label)
      : null;
  }

  forward(rec: Recorder, x: Tensor, activation: Activation): Tensor {
    if (!this.norm) return this.conv.forward(rec, x, { activation });
    return this.norm.forward(rec, this.conv.forward(rec, x), activation);
  }
}

/** torch.nn.InstanceNorm2d without parameters. */
class InstanceNorm2d {
  readonly #label: string;

  constructor(label: string) {
    this.#label = label;
  }

  forward(rec: Recorder, x: Tensor, activation: Activation): Tensor {
    return instanceNorm(rec, x, { eps: EPS, activation, label: this.#label });
  }
}

/** torch.nn.BatchNorm2d, by the checkpoint's statistics or by those of the pictures at hand. */
class BatchNorm2d {
  readonly #weight: Tensor;
  readonly #bias: Tensor;
  readonly #statistics: BatchNormOptions["statistics"];
  readonly #label: string;

  constructor(
    w: Weights,
    { channels, statistics }: { readonly channels: number; readonly statistics: NormConfig["statistics"] },
  ) {
    this.#weight = w.vector("weight", channels);
    this.#bias = w.vector("bias", channels);
    if (statistics === "running") {
      const mean = w.vector("running_mean", channels), variance = w.vector("running_var", channels);
      this.#statistics = { mean, variance };
    } else {
      this.#statistics = "image";
      w.ignore("running_mean");
      w.ignore("running_var");
    }
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor, activation: Activation): Tensor {
    return batchNorm(rec, x, {
      weight: this.#weight,
      bias: this.#bias,
      statistics: this.#statistics,
      eps: EPS,
      activation,
      label: this.#label,
    });
  }
}

interface ResidualBlockConfig extends NormConfig {
  readonly block: RAFTBlock;
  readonly in: number;
  readonly out: number;
  readonly stride: number;
}

/** torchvision's ResidualBlock (two 3×3) or BottleneckBlock (1×1 to a quarter of the channels, 3×3, 1×1). */
class ResidualBlock {
  readonly convs: readonly ConvNorm[];
  readonly downsample: ConvNorm | null;
  readonly #label: string;

  constructor(w: Weights, config: ResidualBlockConfig) {
    const { in: channels, out, stride } = config;
    const quarter = out / 4;
    const convs = config.block === "ResidualBlock"
      ? [{ in: channels, out, kernel: 3, stride }, { in: out, out, kernel: 3, stride: 1 }]
      : [
        { in: channels, out: quarter, kernel: 1, stride: 1 },
        { in: quarter, out: quarter, kernel: 3, stride },
        { in: quarter, out, kernel: 1, stride: 1 },
      ];
    this.convs = convs.map((conv, i) => new ConvNorm(w.at(`convnormrelu${i + 1}`), { ...config, ...conv }));
    this.downsample = stride === 1
      ? null
      : new ConvNorm(w.at("downsample"), { ...config, in: channels, out, kernel: 1, stride });
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor): Tensor {
    let y = x;
    for (const conv of this.convs) y = conv.forward(rec, y, "relu");
    const shortcut = this.downsample?.forward(rec, x, "none") ?? x;
    return residualRelu(rec, shortcut, y, { label: this.#label });
  }
}

/** A 1×1 convolution whose output channels come as several tensors, each with its activation. */
class SplitConv {
  readonly #weights: readonly Tensor[];
  readonly #biases: readonly Tensor[];
  readonly #outputs: readonly RAFTEncoderOutput[];
  readonly #label: string;

  constructor(
    w: Weights,
    config: { readonly in: number; readonly outputs: readonly RAFTEncoderOutput[] },
  ) {
    const { in: channels, outputs } = config;
    let total = 0;
    const ranges = outputs.map((output) => ({ from: total, to: total += output.channels }));
    this.#weights = w.split(
      "weight",
      [total, channels, 1, 1],
      ranges.map(({ from, to }) => {
        const { shape, pack } = matrixPacking([to - from, channels, 1, 1]);
        return {
          shape,
          pack: (all) => pack({ ...all, values: all.values.subarray(from * channels, to * channels) }),
        };
      }),
    );
    this.#biases = w.split(
      "bias",
      [total],
      ranges.map(({ from, to }) => ({
        shape: [1, to - from],
        pack: ({ values, write }) => write(values.subarray(from, to), 0),
      })),
    );
    this.#outputs = outputs;
    this.#label = w.label;
  }

  forward(rec: Recorder, x: Tensor): Tensor[] {
    return this.#outputs.map(({ activation }, i) =>
      conv2d(rec, x, {
        weight: this.#weights[i]!,
        bias: this.#biases[i],
        kernel: [1, 1],
        activation,
        label: this.#label,
      })
    );
  }
}
