import type { Gpu } from "../gpu/device.ts";
import { type DType, Tensor } from "../gpu/tensor.ts";

/** How a tensor of the checkpoint is laid out on the GPU. */
export interface Packing {
  readonly shape: readonly number[];
  readonly pack: (data: Float32Array) => Float32Array;
  /** Stored at the precision of the weights; everything else is f32. */
  readonly matrix?: boolean;
}

/** What a network asks of a checkpoint; `WeightView` of src/checkpoint is it. */
export interface WeightRequests {
  at(path: string | number): WeightRequests;
  has(name: string): boolean;
  ignore(prefix: string): void;
  tensor(name: string, shape: readonly number[], use: (data: Float32Array) => void): void;
  load(): Promise<void>;
}

/**
 * The place in a checkpoint that a layer is built from. A layer asks for its parameters in the constructor; they get
 * memory and data in `load()`.
 */
export class Weights {
  readonly gpu: Gpu;
  readonly #view: WeightRequests;
  readonly #parameters: Tensor[];
  /** How weights of convolutions and linear layers are stored; computing is in f32 always. */
  readonly precision: DType;
  /** Path of the layer, for labels and messages: "unet.down_blocks.0". */
  readonly label: string;

  constructor(
    gpu: Gpu,
    view: WeightRequests,
    label: string,
    { precision = "f32", parameters = [] }: { readonly precision?: DType; readonly parameters?: Tensor[] } =
      {},
  ) {
    this.gpu = gpu;
    this.#view = view;
    this.label = label;
    this.#parameters = parameters;
    this.precision = precision;
  }

  /** The place `path` below this one. */
  at(path: string | number): Weights {
    const { precision } = this, parameters = this.#parameters;
    return new Weights(this.gpu, this.#view.at(path), `${this.label}.${path}`, { precision, parameters });
  }

  /** Whether the checkpoint has tensor `name` here. */
  has(name: string): boolean {
    return this.#view.has(name);
  }

  /** Leaves tensors below `prefix` in the file on purpose. */
  ignore(prefix: string): void {
    this.#view.ignore(prefix);
  }

  /** Asks for tensor `name` of `shape` (PyTorch order), packed in one or several ways, one GPU tensor for each. */
  split(name: string, shape: readonly number[], packings: readonly Packing[]): Tensor[] {
    const tensors = packings.map(({ shape, matrix }) =>
      new Tensor(shape, `${this.label}.${name}`, { dtype: matrix ? this.precision : "f32" })
    );
    this.#parameters.push(...tensors);
    this.#view.tensor(name, shape, (data) => {
      packings.forEach((packing, i) => this.gpu.write(tensors[i]!, packing.pack(data)));
    });
    return tensors;
  }

  /** Asks for tensor `name` of `shape` (PyTorch order), stored as is or packed. */
  parameter(name: string, shape: readonly number[], packing: Packing = { shape, pack: identity }): Tensor {
    return this.split(name, shape, [packing])[0]!;
  }

  /** Asks for a vector of `size` values as a tensor [1, size]. */
  vector(name: string, size: number): Tensor {
    return this.parameter(name, [size], { shape: [1, size], pack: identity });
  }

  /** Asks for a tensor that stays in host memory; `use` gets its values. */
  host(name: string, shape: readonly number[], use: (data: Float32Array) => void): void {
    this.#view.tensor(name, shape, use);
  }

  /** Counts a tensor that is derived from parameters among them: it is freed with them. */
  adopt(tensor: Tensor): void {
    this.#parameters.push(tensor);
  }

  /** Reads and uploads all parameters asked for so far. Throws `CheckpointError` listing all that do not fit. */
  async load(): Promise<void> {
    await this.gpu.scoped(`upload weights of "${this.label}"`, () => this.#view.load());
  }

  /** GPU memory of the parameters, in bytes. */
  get byteLength(): number {
    return this.#parameters.reduce((sum, p) => sum + p.storage.byteLength, 0);
  }

  /** Frees the parameters' GPU memory. */
  free(): void {
    for (const parameter of this.#parameters) this.gpu.free(parameter);
  }
}

function identity(data: Float32Array): Float32Array {
  return data;
}
