import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { conv2d, type Conv2dOptions, type Padding } from "../kernels/conv2d.ts";
import { applyNorm, type KnownNorm } from "../kernels/group_norm.ts";
import { prefersWinograd } from "../kernels/tuning.ts";
import { winogradConv2d, winogradFilter, winogradFilterShape } from "../kernels/winograd.ts";
import { DerivedWeight } from "./derived_weight.ts";
import { matrixPacking } from "./matrix_packing.ts";
import type { Packing } from "./weight_upload.ts";
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
export interface Conv2dFusion extends
  Pick<
    Conv2dOptions,
    "activation" | "channelAdd" | "scale" | "residual" | "accumulate" | "resize"
  > {
  /** Applied to the input first; a pair of inputs is then one concatenation with the channels of a single `in`. */
  readonly norm?: KnownNorm;
}

type Input = Tensor | readonly Tensor[];

/** torch.nn.Conv2d: `weight` [O, C, KH, KW] and `bias` [O]. */
export class Conv2d {
  readonly #w: Weights;
  readonly #parts: readonly number[];
  readonly #weights: readonly Tensor[];
  readonly #bias: Tensor;
  readonly #config: Conv2dConfig;
  readonly #kernel: readonly [number, number];
  #filter: DerivedWeight | null = null;

  constructor(w: Weights, config: Conv2dConfig) {
    const { kernel } = config;
    this.#w = w;
    this.#config = config;
    this.#parts = typeof config.in === "number" ? [config.in] : config.in;
    this.#kernel = typeof kernel === "number" ? [kernel, kernel] : kernel;
    const shape = [config.out, this.#parts.reduce((a, b) => a + b, 0), ...this.#kernel];
    this.#weights = w.split("weight", shape, splitChannels(shape, this.#parts));
    this.#bias = w.vector("bias", config.out);
  }

  /** x [N, H, W, C], or one tensor per part of `in`, all of one size → [N, OH, OW, O]. */
  forward(rec: Recorder, x: Input, fusion: Conv2dFusion = {}): Tensor {
    const { norm, ...rest } = fusion;
    const tensors = "shape" in x ? [x] : x;
    const filter = this.#winogradFilter(rec, tensors, rest.resize);
    if (filter) {
      const [first, second] = tensors as [Tensor, Tensor?];
      const input = second ? [first, second] as const : first;
      const { label, scratchBytes } = this.#w;
      return winogradConv2d(rec, input, { ...fusion, filter, bias: this.#bias, scratchBytes, label });
    }
    if (!norm) return this.#direct(rec, tensors, rest);
    return this.#direct(rec, [
      applyNorm(rec, x as Tensor | readonly [Tensor, Tensor], { ...norm, label: this.#w.label }),
    ], rest);
  }

  /** The convolution of a concatenation is the sum of the convolutions of its parts, so nothing is copied. */
  #direct(rec: Recorder, parts: readonly Tensor[], fusion: Omit<Conv2dFusion, "norm">): Tensor {
    const { label } = this.#w;
    if (parts.length !== this.#weights.length) {
      throw new RangeError(
        `Cannot run conv2d "${label}": ${parts.length} inputs, ${this.#weights.length} wanted`,
      );
    }
    const { stride = 1, padding = 0 } = this.#config;
    const common = { kernel: this.#kernel, stride, padding, label };
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

  /** Winograd's filters for these inputs, or null where the direct convolution is faster or the only one. */
  #winogradFilter(
    rec: Recorder,
    inputs: readonly Tensor[],
    resize: readonly [number, number] | undefined,
  ): Tensor | null {
    const { stride = 1, padding = 0, out } = this.#config;
    const [kernelHeight, kernelWidth] = this.#kernel;
    const sides = typeof padding === "number" ? [padding] : Object.values(padding);
    const same = kernelHeight === 3 && kernelWidth === 3 && stride === 1 && sides.every((side) => side === 1);
    if (!same || inputs.length > 2) return null;
    if ([...this.#parts.slice(0, -1), ...inputs.slice(0, -1).map((t) => t.size(-1))].some((c) => c % 4)) {
      return null;
    }
    const [height, width] = resize ?? [inputs[0]!.size(1), inputs[0]!.size(2)];
    const inChannels = inputs.reduce((sum, t) => sum + t.size(-1), 0);
    const shape = { inChannels, outChannels: out, pixels: inputs[0]!.size(0) * height * width };
    const { facts } = rec.gpu;
    if (!prefersWinograd(facts, { ...shape, filterKept: true })) return null;
    const filter = this.#filter ??= this.#deriveFilter();
    return prefersWinograd(facts, { ...shape, filterKept: filter.affordable }) ? filter.tensor(rec) : null;
  }

  #deriveFilter(): DerivedWeight {
    const { label } = this.#w;
    const channels = this.#weights.reduce((sum, weight) => sum + weight.size(1), 0);
    return new DerivedWeight(this.#w, winogradFilterShape(channels, this.#config.out), (rec, filter) => {
      winogradFilter(rec, this.#weights, { filter, label });
    });
  }
}

function splitChannels(shape: readonly number[], parts: readonly number[]): Packing[] {
  let from = 0;
  return parts.map((count) => matrixPacking(shape, [from, from += count]));
}
