import type { Gpu } from "../gpu/device.ts";
import { type DType, Tensor } from "../gpu/tensor.ts";

/** Memory for what is derived from parameters, e.g. transformed filters, that small networks may always take. */
const DERIVED_BYTES = 2 ** 26;

/** All tensors of a network. */
interface Ledger {
  readonly parameters: Tensor[];
  readonly derived: Tensor[];
}

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
  readonly #ledger: Ledger;
  /** How weights of convolutions and linear layers are stored; computing is in f32 always. */
  readonly precision: DType;
  /** Path of the layer, for labels and messages: "unet.down_blocks.0". */
  readonly label: string;

  constructor(
    gpu: Gpu,
    view: WeightRequests,
    label: string,
    { precision = "f32", ledger = { parameters: [], derived: [] } }: {
      readonly precision?: DType;
      readonly ledger?: Ledger;
    } = {},
  ) {
    this.gpu = gpu;
    this.#view = view;
    this.label = label;
    this.#ledger = ledger;
    this.precision = precision;
  }

  /** The place `path` below this one. */
  at(path: string | number): Weights {
    const { precision } = this, ledger = this.#ledger;
    return new Weights(this.gpu, this.#view.at(path), `${this.label}.${path}`, { precision, ledger });
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
    this.#ledger.parameters.push(...tensors);
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

  /**
   * Takes a tensor that is derived from parameters among them, to be freed with them; false where the derived ones
   * would exceed `DERIVED_BYTES`, or an eighth of the parameters where that is more.
   */
  adopt(tensor: Tensor): boolean {
    const { parameters, derived } = this.#ledger;
    const room = Math.max(DERIVED_BYTES, bytes(parameters) / 8);
    if (bytes(derived) + tensor.storage.byteLength > room) return false;
    derived.push(tensor);
    return true;
  }

  /** Reads and uploads all parameters asked for so far. Throws `CheckpointError` listing all that do not fit. */
  async load(): Promise<void> {
    await this.gpu.scoped(`upload weights of "${this.label}"`, () => this.#view.load());
  }

  /** GPU memory of the parameters and what is derived from them, in bytes. */
  get byteLength(): number {
    return bytes(this.#ledger.parameters) + bytes(this.#ledger.derived);
  }

  /** Frees the parameters' GPU memory. */
  free(): void {
    const { parameters, derived } = this.#ledger;
    for (const tensor of [...parameters, ...derived]) this.gpu.free(tensor);
  }
}

function identity(data: Float32Array): Float32Array {
  return data;
}

function bytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { storage }) => sum + storage.byteLength, 0);
}
