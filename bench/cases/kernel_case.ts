import type { Gpu } from "../../src/gpu/device.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import type { Tolerance } from "../../tests/_assert.ts";
import { signal } from "../../tests/generated.ts";
import { weightTensor } from "../weight_tensor.ts";

/** A kernel at the shape of a real layer. */
export interface KernelCase {
  readonly name: string;
  /** Where the shape comes from. */
  readonly note?: string;
  /** Small enough for `--quick`. */
  readonly quick?: boolean;
  readonly tolerance: Tolerance;
  build(inputs: Inputs): KernelWork;
}

/** A case with its inputs on the GPU. */
export interface KernelWork {
  record(rec: Recorder): Tensor;
  /** Some of the output's values, computed in double precision. */
  expected(): Samples;
  /** The output's values, where they are not the floats of the tensor. */
  read?(gpu: Gpu, y: Tensor): Promise<ArrayLike<number>>;
  /** Bytes that must be moved, where the bindings hold more. */
  readonly bytes?: number;
}

/** Values of an output by their places in its row-major order. */
export interface Samples {
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

/** All values of an output. */
export function allSamples(values: ArrayLike<number>): Samples {
  return { indices: Array.from(values, (_, i) => i), values: Array.from(values) };
}

/** Rows of `size` values of an output, each with its values. */
export function rowSamples(
  size: number,
  rows: readonly { readonly row: number; readonly values: ArrayLike<number> }[],
): Samples {
  return {
    indices: rows.flatMap(({ row, values }) => Array.from(values, (_, i) => row * size + i)),
    values: rows.flatMap(({ values }) => Array.from(values)),
  };
}

/** First, middle and last of `count` things, each once. */
export function firstMiddleLast(count: number): number[] {
  return [...new Set([0, Math.floor(count / 2), count - 1])];
}

/** Tensors of a case, freed together. Their values are never zeros: some GPUs are faster with those. */
export class Inputs implements Disposable {
  readonly #gpu: Gpu;
  readonly #tensors: Tensor[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Values of unit variance times `scale`. */
  signal(name: string, shape: readonly number[], scale = 1): { tensor: Tensor; data: Float32Array } {
    const data = signal(`bench.${name}`, shape);
    for (let i = 0; i < data.length; i++) data[i]! *= scale;
    return { tensor: this.tensor(name, shape, data), data };
  }

  /** A tensor for others to fill where no values are given. */
  tensor(name: string, shape: readonly number[], data?: Float32Array): Tensor {
    const tensor = this.#gpu.tensor(shape, name, data);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Weights as networks keep them, for others to fill where no values are given. */
  weight(name: string, shape: readonly number[], data?: Float32Array): Tensor {
    const tensor = weightTensor(this.#gpu, shape, { label: name, ...data ? { data } : {} });
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Bytes as they are, in a tensor of `shape`. */
  raw(name: string, shape: readonly number[], data: Uint32Array): Tensor {
    const tensor = this.tensor(name, shape);
    this.#gpu.writeRaw(tensor, data);
    return tensor;
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#tensors) this.#gpu.free(tensor);
  }
}
