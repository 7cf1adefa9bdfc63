import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Downsample, Upsample } from "./resample.ts";
import { ResnetBlock } from "./resnet_block.ts";
import { Transformer } from "./transformer_block.ts";
import type { Weights } from "./weights.ts";

/** What is the same in all blocks of one network. */
export interface UNetCommon {
  readonly layers: number;
  readonly timeChannels: number;
  readonly groups: number;
  readonly eps: number;
}

/** The attention of one block. */
export interface BlockAttention {
  readonly heads: number;
  readonly contextChannels: number;
  readonly onlyCrossAttention: boolean;
}

/** What a forward pass hands to every block. */
export interface BlockInputs {
  /** SiLU(time embedding), [N or 1, 1, D]. */
  readonly time: Tensor;
  /** Text embedding [N or 1, S, D]; null where no block has attention. */
  readonly context: Tensor | null;
  /** Adds the next residual of the temporal module to a feature map. */
  readonly guide: ((x: Tensor) => Tensor) | null;
}

export interface DownBlockConfig extends UNetCommon {
  readonly in: number;
  readonly out: number;
  readonly attention: BlockAttention | null;
  readonly downsample: boolean;
}

/** diffusers' DownBlock2D and CrossAttnDownBlock2D. */
export class DownBlock {
  readonly resnets: readonly ResnetBlock[];
  readonly attentions: readonly Transformer[];
  readonly downsamplers: readonly Downsample[];
  readonly #label: string;

  constructor(w: Weights, config: DownBlockConfig) {
    const { out, layers } = config;
    this.resnets = range(layers).map((i) =>
      new ResnetBlock(w.at("resnets").at(i), { ...config, in: i === 0 ? config.in : out })
    );
    this.attentions = transformers(w, config, out, layers);
    this.downsamplers = config.downsample ? [new Downsample(w.at("downsamplers").at(0), out, 1)] : [];
    this.#label = w.label;
  }

  /** x [N, H, W, C] → the block's output, and every feature map that becomes a skip connection. */
  forward(rec: Recorder, x: Tensor, inputs: BlockInputs): { x: Tensor; skips: Tensor[] } {
    const skips: Tensor[] = [];
    for (const [i, resnet] of this.resnets.entries()) {
      x = resnet.forward(rec, x, inputs.time);
      x = attend(rec, this.attentions[i], x, inputs);
      x = inputs.guide?.(x) ?? x;
      skips.push(x);
    }
    for (const downsampler of this.downsamplers) {
      x = downsampler.forward(rec, x);
      x = inputs.guide?.(x) ?? x;
      skips.push(x);
    }
    rec.tap(this.#label, x);
    return { x, skips };
  }
}

export interface UpBlockConfig extends UNetCommon {
  /** Channels of the block's input. */
  readonly previous: number;
  /** Channels of the skip connections, in the order they are used. */
  readonly skips: readonly number[];
  readonly out: number;
  readonly attention: BlockAttention | null;
  readonly upsample: boolean;
}

/** diffusers' UpBlock2D and CrossAttnUpBlock2D. */
export class UpBlock {
  readonly resnets: readonly ResnetBlock[];
  readonly attentions: readonly Transformer[];
  readonly upsamplers: readonly Upsample[];
  readonly #label: string;

  constructor(w: Weights, config: UpBlockConfig) {
    const { out, previous, skips } = config;
    this.resnets = skips.map((skip, i) =>
      new ResnetBlock(w.at("resnets").at(i), { ...config, in: [i === 0 ? previous : out, skip] })
    );
    this.attentions = transformers(w, config, out, skips.length);
    this.upsamplers = config.upsample ? [new Upsample(w.at("upsamplers").at(0), out)] : [];
    this.#label = w.label;
  }

  /**
   * x [N, H, W, C] with its skip connections (in the order they are used) → the block's output, resized to `size`
   * where it upsamples, and every feature map before a residual is added.
   */
  forward(
    rec: Recorder,
    x: Tensor,
    inputs: BlockInputs & {
      readonly skips: readonly Tensor[];
      readonly size: readonly [number, number] | undefined;
    },
  ): { x: Tensor; features: Tensor[] } {
    const features: Tensor[] = [];
    for (const [i, resnet] of this.resnets.entries()) {
      x = resnet.forward(rec, [x, inputs.skips[i]!], inputs.time);
      x = attend(rec, this.attentions[i], x, inputs);
      features.push(x);
      x = inputs.guide?.(x) ?? x;
    }
    for (const upsampler of this.upsamplers) {
      x = upsampler.forward(rec, x, inputs.size);
      features.push(x);
      x = inputs.guide?.(x) ?? x;
    }
    rec.tap(this.#label, x);
    return { x, features };
  }
}

export interface MidBlockConfig extends Omit<UNetCommon, "layers"> {
  readonly channels: number;
  readonly attention: BlockAttention | null;
  /** Number of ResNet blocks, 1 or 2. */
  readonly resnets: number;
}

/** diffusers' UNetMidBlock2DCrossAttn, and DGAFNet's MidBlock2D (two ResNet blocks) and UNetMidBlock2D (one). */
export class MidBlock {
  readonly resnets: readonly ResnetBlock[];
  readonly attentions: readonly Transformer[];
  readonly #label: string;

  constructor(w: Weights, config: MidBlockConfig) {
    const { channels } = config;
    this.resnets = range(config.resnets).map((i) =>
      new ResnetBlock(w.at("resnets").at(i), { ...config, in: channels, out: channels })
    );
    this.attentions = transformers(w, config, channels, 1);
    this.#label = w.label;
  }

  /** x [N, H, W, C] → same shape. */
  forward(rec: Recorder, x: Tensor, inputs: Omit<BlockInputs, "guide">): Tensor {
    x = this.resnets[0]!.forward(rec, x, inputs.time);
    x = attend(rec, this.attentions[0], x, inputs);
    for (const resnet of this.resnets.slice(1)) x = resnet.forward(rec, x, inputs.time);
    rec.tap(this.#label, x);
    return x;
  }
}

function transformers(
  w: Weights,
  config: { readonly attention: BlockAttention | null; readonly groups: number },
  channels: number,
  count: number,
): Transformer[] {
  const { attention, groups } = config;
  if (!attention) return [];
  return range(count).map((i) =>
    new Transformer(w.at("attentions").at(i), { ...attention, channels, groups })
  );
}

function attend(
  rec: Recorder,
  transformer: Transformer | undefined,
  x: Tensor,
  { context }: Omit<BlockInputs, "guide">,
): Tensor {
  if (!transformer) return x;
  if (!context) throw new TypeError("Cannot run a block with attention: no text embedding was given");
  return transformer.forward(rec, x, context);
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
