import { signal, weight } from "../../tests/generated.ts";

/** One layer that every contestant computes, in chains: the output of a link is the input of the next. */
export type Work =
  /** 3×3, stride 1, padding 1, `channels` to `channels`, no bias; `size` is height and width. */
  | { readonly kind: "conv2d"; readonly channels: number; readonly size: number }
  /** Product of two square matrices; the right one is the constant. */
  | { readonly kind: "gemm"; readonly size: number }
  /** softmax(q kᵀ / √headChannels) v; keys and values are constant. */
  | {
    readonly kind: "attention";
    readonly heads: number;
    readonly tokens: number;
    readonly headChannels: number;
  };

/** A named array, row-major. */
export interface Input {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/**
 * What a work reads, in one order of axes for all contestants, who reorder as they like before they are timed.
 * conv2d: `x` [C, H, W], `w` [O, C, 3, 3]; gemm: `x` [M, K], `w` [K, N]; attention: `x` (the queries), `k`, `v` [heads,
 * tokens, headChannels]. The output has the shape of `x`.
 */
export type Inputs = Readonly<Record<string, Input>>;

/** All works; the first, the gemm and the attention are the quick ones. */
export const works: readonly Work[] = [
  { kind: "conv2d", channels: 128, size: 64 },
  { kind: "conv2d", channels: 256, size: 32 },
  { kind: "conv2d", channels: 256, size: 64 },
  { kind: "conv2d", channels: 512, size: 32 },
  { kind: "conv2d", channels: 1024, size: 16 },
  { kind: "gemm", size: 1024 },
  { kind: "attention", heads: 8, tokens: 1024, headChannels: 64 },
];

/** Name of a work as printed. */
export function workName(work: Work): string {
  switch (work.kind) {
    case "conv2d":
      return `conv 3x3 ${work.channels} ch ${work.size}x${work.size}`;
    case "gemm":
      return `matrix product ${work.size}^3`;
    case "attention":
      return `attention ${work.heads} heads ${work.tokens}x${work.headChannels}`;
  }
}

/** Floating-point operations of one link, counted as the direct method needs them. */
export function workFlop(work: Work): number {
  switch (work.kind) {
    case "conv2d":
      return 2 * 9 * work.channels ** 2 * work.size ** 2;
    case "gemm":
      return 2 * work.size ** 3;
    case "attention":
      return 4 * work.heads * work.tokens ** 2 * work.headChannels;
  }
}

/** Generated inputs of variance about 1, with weights that keep it. */
export function workInputs(work: Work): Inputs {
  const name = workName(work);
  function values(input: string, shape: number[]): Input {
    return { shape, data: signal(`${name}.${input}`, shape) };
  }
  function weights(shape: number[]): Input {
    return { shape, data: weight(`${name}.w`, shape) };
  }
  switch (work.kind) {
    case "conv2d": {
      const { channels: c, size } = work;
      return { x: values("x", [c, size, size]), w: weights([c, c, 3, 3]) };
    }
    case "gemm":
      return { x: values("x", [work.size, work.size]), w: weights([work.size, work.size]) };
    case "attention": {
      const shape = [work.heads, work.tokens, work.headChannels];
      return { x: values("x", shape), k: values("k", shape), v: values("v", shape) };
    }
  }
}
