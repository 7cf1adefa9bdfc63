import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Linear } from "./linear.ts";
import type { Weights } from "./weights.ts";

/** diffusers' TimestepEmbedding: linear_1 → SiLU → linear_2. */
export class TimestepEmbedding {
  readonly linear_1: Linear;
  readonly linear_2: Linear;

  constructor(w: Weights, config: { readonly in: number; readonly out: number }) {
    this.linear_1 = new Linear(w.at("linear_1"), config);
    this.linear_2 = new Linear(w.at("linear_2"), { in: config.out, out: config.out });
  }

  /**
   * Sinusoid [N, 1, in] → embedding [N, 1, out], to which a class embedding of the same shape is added. With
   * `activation` "silu" it comes as every ResNet block wants it.
   */
  forward(
    rec: Recorder,
    sinusoid: Tensor,
    options: { readonly classEmbedding?: Tensor | null; readonly activation?: "none" | "silu" } = {},
  ): Tensor {
    const { classEmbedding, activation = "none" } = options;
    const h = this.linear_1.forward(rec, sinusoid, { activation: "silu" });
    return this.linear_2.forward(rec, h, { activation, accumulate: classEmbedding ?? undefined });
  }
}

/** How a network's config lays out its sinusoid. */
export interface TimestepEmbeddingOptions {
  /** Whether the cosines come before the sines. */
  readonly flipSinToCos: boolean;
  /** Taken from the number of frequencies in the exponent's divisor; usually 0. */
  readonly freqShift: number;
}

/**
 * Sinusoid of timestep `t`: `dim / 2` sines and as many cosines of `t * 10000^(-i / (dim / 2 - freqShift))`.
 *
 * Each operation rounds to float32, as diffusers' `get_timestep_embedding` computed it for the trained networks: at
 * t = 999 that is up to 6e-5 away from the exact value. Throws a RangeError unless `dim` is a positive even number
 * and more than twice `freqShift`.
 */
export function timestepEmbedding(
  t: number,
  dim: number,
  { flipSinToCos, freqShift }: TimestepEmbeddingOptions,
): Float32Array<ArrayBuffer> {
  const half = dim / 2;
  if (!Number.isInteger(half) || half < 1 || !(half > freqShift)) {
    throw new RangeError(
      `Cannot embed timestep: dim is ${dim} and freqShift ${freqShift}, wanted an even dim above ${
        2 * freqShift
      }`,
    );
  }
  const { fround } = Math;
  const embedding = new Float32Array(dim);
  const [sinAt, cosAt] = flipSinToCos ? [half, 0] : [0, half];
  for (let i = 0; i < half; i++) {
    const exponent = fround(fround(fround(-Math.log(10000)) * i) / fround(half - freqShift));
    const angle = fround(fround(t) * fround(Math.exp(exponent)));
    embedding[sinAt + i] = Math.sin(angle);
    embedding[cosAt + i] = Math.cos(angle);
  }
  return embedding;
}
