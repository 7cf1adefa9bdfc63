import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import {
  conv2d,
  type Conv2dOptions,
  packConv2dWeight,
  packedConv2dShape,
  type Padding,
} from "../kernels/conv2d.ts";
import type { Weights } from "./weights.ts";

export interface Conv2dConfig {
  /** Input channels; a list stands for the channel concatenation of that many inputs. */
  readonly in: number | readonly number[];
  readonly out: number;
  readonly kernel: number | readonly [number, number];
  /** Default 1. */
  readonly stride?: number;
  /** Default 0. */
  readonly padding?: number | Padding;
}

/** What a forward pass may fuse; see `conv2d()`. */
export type Conv2dFusion = Pick<
  Conv2dOptions,
  "activation" | "channelAdd" | "scale" | "residual" | "accumulate" | "resize"
>;

/** torch.nn.Conv2d: `weight` [O, C, KH, KW] and `bias` [O]. */
export class Conv2d {
  readonly #weights: readonly Tensor[];
  readonly #bias: Tensor;
  readonly #config: Conv2dConfig;
  readonly #kernel: readonly [number, number];
  readonly #label: string;

  constructor(w: Weights, config: Conv2dConfig) {
    const parts = typeof config.in === "number" ? [config.in] : config.in;
    const { kernel } = config;
    this.#kernel = typeof kernel === "number" ? [kernel, kernel] : kernel;
    this.#config = config;
    this.#label = w.label;
    const total = parts.reduce((a, b) => a + b, 0);
    const shape = [config.out, total, ...this.#kernel];
    this.#weights = w.split("weight", shape, splitChannels(shape, parts));
    this.#bias = w.vector("bias", config.out);
  }

  /**
   * x [N, H, W, C], or one tensor per part of `in`, all of one size. The convolution of a concatenation is the sum
   * of the convolutions of its parts, so nothing is copied.
   */
  forward(rec: Recorder, x: Tensor | readonly Tensor[], fusion: Conv2dFusion = {}): Tensor {
    const parts = Array.isArray(x) ? x as readonly Tensor[] : [x as Tensor];
    if (parts.length !== this.#weights.length) {
      throw new RangeError(
        `Cannot run conv2d "${this.#label}": ${parts.length} inputs, ${this.#weights.length} wanted`,
      );
    }
    const { stride = 1, padding = 0 } = this.#config;
    const common = { kernel: this.#kernel, stride, padding, label: this.#label };
    let accumulate = fusion.accumulate;
    for (const [i, part] of parts.slice(0, -1).entries()) {
      accumulate = conv2d(rec, part, {
        ...common,
        weight: this.#weights[i]!,
        accumulate,
        ...(fusion.resize ? { resize: fusion.resize } : {}),
      });
    }
    const weight = this.#weights.at(-1)!;
    return conv2d(rec, parts.at(-1)!, { ...common, ...fusion, weight, bias: this.#bias, accumulate });
  }
}

function splitChannels(shape: readonly number[], parts: readonly number[]) {
  let from = 0;
  return parts.map((count) => {
    const range: [number, number] = [from, from += count];
    return {
      shape: packedConv2dShape(shape, count),
      pack: (data: Float32Array) => packConv2dWeight(data, shape, range),
    };
  });
}
