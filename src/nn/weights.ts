import { PART_VALUES } from "../checkpoint/weight_parts.ts";
import type { WeightUse } from "../checkpoint/weight_view.ts";
import { type Gpu, QUEUED_BYTES } from "../gpu/device.ts";
import { type DType, Tensor, vec4Count } from "../gpu/tensor.ts";
import { prefersTexture } from "../kernels/tuning.ts";
import { type Packing, type PartToPack, WeightUpload } from "./weight_upload.ts";

/** Memory for what is derived from parameters, e.g. transformed filters, that small networks may always take. */
const DERIVED_BYTES = { f32: 2 ** 26, f16: 2 ** 25 } as const;

/**
 * Host memory for a value of a part: as stored, in this part and the next, converted, packed. Float32 needs no
 * conversion, and float16 half the memory as stored.
 */
const LOAD_BYTES_PER_VALUE = 12;

/** How a network uses memory; nothing but `precision` changes its results. */
export interface WeightOptions {
  /** How weights of convolutions and linear layers are stored; computing is in f32 always. Default "f32". */
  readonly precision?: DType | undefined;
  /** Whether what is derived from parameters is kept with them, or computed in each replay. Default true. */
  readonly keepDerived?: boolean | undefined;
  /** Bytes that a scratch tensor may take, of a band or of correlations; default `SCRATCH_BYTES` of the kernels. */
  readonly scratchBytes?: number | undefined;
}

/** All tensors of a network. */
interface Ledger {
  readonly parameters: Tensor[];
  readonly derived: Tensor[];
  /** Values of the largest part that is read at once. */
  largestPart: number;
  /** While loading. */
  upload?: WeightUpload | undefined;
}

/** What a network asks of a checkpoint; `WeightView` of src/checkpoint is it. */
export interface WeightRequests {
  at(path: string | number): WeightRequests;
  has(name: string): boolean;
  ignore(prefix: string): void;
  tensor(name: string, shape: readonly number[], use: WeightUse): void;
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
  readonly #options: WeightOptions;
  /** Path of the layer, for labels and messages: "unet.down_blocks.0". */
  readonly label: string;

  constructor(
    gpu: Gpu,
    view: WeightRequests,
    label: string,
    { ledger = { parameters: [], derived: [], largestPart: 0 }, ...options }: WeightOptions & {
      readonly ledger?: Ledger;
    } = {},
  ) {
    this.gpu = gpu;
    this.#view = view;
    this.label = label;
    this.#ledger = ledger;
    this.#options = options;
  }

  /** How weights of convolutions and linear layers are stored. */
  get precision(): DType {
    return this.#options.precision ?? "f32";
  }

  /** Whether what is derived from parameters is kept with them. */
  get keepDerived(): boolean {
    return this.#options.keepDerived ?? true;
  }

  /** Bytes that a scratch tensor may take, of a band or of correlations; undefined for the kernels' default. */
  get scratchBytes(): number | undefined {
    return this.#options.scratchBytes;
  }

  /** The place `path` below this one. */
  at(path: string | number): Weights {
    const ledger = this.#ledger;
    return new Weights(this.gpu, this.#view.at(path), `${this.label}.${path}`, { ...this.#options, ledger });
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
    const tensors = packings.map(({ shape, matrix = false }) =>
      new Tensor(shape, `${this.label}.${name}`, {
        dtype: matrix ? this.precision : "f32",
        inTexture: matrix && prefersTexture(this.gpu.facts, vec4Count(shape)),
      })
    );
    this.#ledger.parameters.push(...tensors);
    const { unit = Infinity } = packings[0]!;
    this.#expect(shape, unit);
    const targets = packings.map(({ pack }, i) => ({ tensor: tensors[i]!, pack }));
    this.#view.tensor(name, shape, { unit, use: (part) => this.#ledger.upload!.write(part, targets) });
    return tensors;
  }

  /** Asks for tensor `name` of `shape` (PyTorch order), stored as is or packed. */
  parameter(name: string, shape: readonly number[], packing: Packing = { shape, pack: asIs }): Tensor {
    return this.split(name, shape, [packing])[0]!;
  }

  /** Asks for a vector of `size` values as a tensor [1, size]. */
  vector(name: string, size: number): Tensor {
    return this.parameter(name, [size], { shape: [1, size], pack: asIs });
  }

  /** Asks for a tensor that stays in host memory; `use` gets its values. */
  host(name: string, shape: readonly number[], use: (data: Float32Array) => void): void {
    this.#expect(shape, Infinity);
    this.#view.tensor(name, shape, { use: ({ values }) => use(new Float32Array(values)) });
  }

  /**
   * Takes a tensor that is derived from parameters among them, to be freed with them; false where the derived ones
   * would exceed `DERIVED_BYTES` or, unless f16 is to save memory, a quarter of the parameters where that is more. The
   * answer does not depend on `keepDerived`, because what a layer computes hangs on it.
   */
  adopt(tensor: Tensor): boolean {
    const { parameters, derived } = this.#ledger;
    const least = DERIVED_BYTES[this.precision];
    const room = this.precision === "f16" ? least : Math.max(least, bytes(parameters) / 4);
    if (bytes(derived) + tensor.storage.byteLength > room) return false;
    derived.push(tensor);
    return true;
  }

  /** Reads and uploads all parameters asked for so far. Throws `CheckpointError` listing all that do not fit. */
  async load(): Promise<void> {
    await this.gpu.scoped(`upload weights of "${this.label}"`, async () => {
      this.#ledger.upload = new WeightUpload(this.gpu);
      await this.#view.load();
      this.#ledger.upload = undefined;
    });
  }

  /** GPU memory of the parameters and what is derived from them, in bytes. */
  get byteLength(): number {
    return bytes(this.#ledger.parameters) + this.derivedBytes;
  }

  /** GPU memory of what is derived from the parameters and kept; known once a forward pass was recorded. */
  get derivedBytes(): number {
    return this.keepDerived ? bytes(this.#ledger.derived) : 0;
  }

  /** Host memory that `load()` takes, what the driver keeps for it included, in bytes. */
  get loadBytes(): number {
    const { parameters, largestPart } = this.#ledger;
    const queued = QUEUED_BYTES + Float32Array.BYTES_PER_ELEMENT * largestPart;
    return LOAD_BYTES_PER_VALUE * largestPart + Math.min(queued, bytes(parameters));
  }

  /** Gives all parameters memory without values, for trials of speed. */
  allocate(): void {
    for (const tensor of this.#ledger.parameters) this.gpu.allocate(tensor);
  }

  /** Frees the parameters' GPU memory. */
  free(): void {
    const { parameters, derived } = this.#ledger;
    for (const tensor of [...parameters, ...derived]) this.gpu.free(tensor);
  }

  /** Notes that a tensor is read in parts of `unit` values. */
  #expect(shape: readonly number[], unit: number): void {
    const part = Math.min(product(shape), Math.max(unit, PART_VALUES));
    this.#ledger.largestPart = Math.max(this.#ledger.largestPart, part);
  }
}

function asIs({ values, begin, write }: PartToPack): void {
  write(values, begin);
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function bytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { storage }) => sum + storage.byteLength, 0);
}
