import { escapeName } from "../text/escape_name.ts";
import { CheckpointError, quote } from "./errors.ts";
import { type PickleFunction, type PickleValue, readPickle } from "./pickle.ts";
import { type ByteSource, UnchangedFile } from "./unchanged_file.ts";
import { isWeightDType, WANTED_DTYPES } from "./weight_dtype.ts";
import { nonFiniteProblem, type PartOptions, readParts, readWhole, type WeightPart } from "./weight_parts.ts";
import { ZipFile } from "./zip_file.ts";

/** `torchvision`'s raft_large takes 25 KB, a UNet of 700 tensors 0.1 MiB. */
const MAX_PICKLE_BYTES = 2 ** 20;
const MAX_RANK = 8;
const REMEDY = "save its state_dict() with torch.save again, or get the file again from its source";
/** Files that PyTorch before 1.6 wrote begin with a pickle of protocol 2. */
const LEGACY = [0x80, 0x02];

/** Element type of a storage. */
class StorageType {
  readonly dtype: string;
  readonly bytes: number;

  constructor(dtype: string, bytes: number) {
    this.dtype = dtype;
    this.bytes = bytes;
  }
}

/** A run of elements in the entry `name` of the archive. */
class Storage {
  readonly type: StorageType;
  readonly name: string;
  readonly length: number;

  constructor(type: StorageType, { name, length }: { readonly name: string; readonly length: number }) {
    this.type = type;
    this.name = name;
    this.length = length;
  }
}

/** A tensor as a view of a storage: element i of an axis lies i · stride further on than element 0. */
class StoredView {
  readonly storage: Storage;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Index of its first element in the storage, and that after its last. */
  readonly begin: number;
  readonly end: number;

  constructor(storage: Storage, { begin, shape, strides }: {
    readonly begin: number;
    readonly shape: readonly number[];
    readonly strides: readonly number[];
  }) {
    this.storage = storage;
    this.shape = shape;
    this.strides = strides;
    this.begin = begin;
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, begin);
    this.end = shape.includes(0) ? begin : last + 1;
  }

  get dtype(): string {
    return this.storage.type.dtype;
  }
}

const STORAGE_TYPES: readonly (readonly [string, StorageType])[] = [
  ["torch.FloatStorage", new StorageType("F32", 4)],
  ["torch.HalfStorage", new StorageType("F16", 2)],
  ["torch.BFloat16Storage", new StorageType("BF16", 2)],
  ["torch.LongStorage", new StorageType("I64", 8)],
];

const GLOBALS = new Map<string, PickleFunction | object>([
  ["collections.OrderedDict", makeOrderedDict],
  ["torch._utils._rebuild_tensor_v2", rebuildTensor],
  ...STORAGE_TYPES,
]);

/**
 * An open file of tensors by name that `torch.save` wrote, as torchvision's weights come. Its pickle is read by an
 * allow-list and nothing of it is executed; tensor data is read on demand.
 */
export class TorchFile implements Disposable {
  /** What errors call the file. */
  readonly label: string;
  /** By name; types are named as safetensors names them. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;
  readonly #source: ByteSource;
  readonly #zip: ZipFile;
  readonly #views: ReadonlyMap<string, StoredView>;
  /** The archive's folder, which all entries lie in. */
  readonly #folder: string;

  private constructor(
    source: ByteSource,
    { label, zip, views, folder }: {
      readonly label: string;
      readonly zip: ZipFile;
      readonly views: ReadonlyMap<string, StoredView>;
      readonly folder: string;
    },
  ) {
    this.#source = source;
    this.label = label;
    this.tensors = views;
    this.#zip = zip;
    this.#views = views;
    this.#folder = folder;
  }

  /**
   * Opens `path`, which errors call `label`, and checks all but the data. Throws CheckpointError for a file that is
   * broken or asks for more than tensors, and an Error with Deno's as its cause if it cannot be opened.
   */
  static async open(path: string, label: string = escapeName(path)): Promise<TorchFile> {
    return await TorchFile.from(await UnchangedFile.open(path, label), label);
  }

  /** Takes over `source`, which errors call `label`, and checks all but the data. Throws CheckpointError. */
  static async from(source: ByteSource, label: string): Promise<TorchFile> {
    try {
      return new TorchFile(source, { label, ...await readArchive(source) });
    } catch (error) {
      source[Symbol.dispose]();
      if (!(error instanceof SyntaxError)) throw error;
      throw new CheckpointError(`Cannot read "${label}" as PyTorch's tensors: ${error.message}; ${REMEDY}`);
    }
  }

  /** Reads tensor `name` as float32, row-major; otherwise as `parts`. */
  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    return await readWhole((options) => this.parts(name, options));
  }

  /**
   * Reads tensor `name` (F32, F16 or BF16), row-major. One whose elements lie in another order comes as one part.
   * Throws CheckpointError for another type, for NaN or infinity, or if the file is damaged or changed.
   */
  async *parts(name: string, options: PartOptions): AsyncGenerator<WeightPart> {
    const view = this.#views.get(name);
    if (view === undefined) throw this.#error(name, "there is none of that name");
    try {
      for await (const part of this.#storedParts(name, { view, ...options })) {
        const problem = nonFiniteProblem(part);
        if (problem !== null) throw this.#error(name, problem);
        yield part;
      }
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      throw this.#error(name, `${error.message}; ${REMEDY}`);
    }
  }

  close(): void {
    this.#source[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async *#storedParts(
    name: string,
    { view, ...options }: PartOptions & { readonly view: StoredView },
  ): AsyncGenerator<WeightPart> {
    const { dtype, shape, strides, storage: { type: { bytes }, name: storage } } = view;
    if (!isWeightDType(dtype)) {
      throw this.#error(name, `type ${dtype}, wanted ${WANTED_DTYPES}; convert the weights`);
    }
    const entry = await this.#zip.entry(`${this.#folder}data/${storage}`);
    const range = { dtype, begin: view.begin * bytes, end: view.end * bytes };
    if (isContiguous(shape, strides)) {
      yield* readParts(entry, { ...range, ...options });
    } else {
      const data = await readWhole((whole) => readParts(entry, { ...range, ...whole }));
      yield { values: gather(data, view), begin: 0 };
    }
  }

  #error(name: string, reason: string): CheckpointError {
    return new CheckpointError(`Cannot read tensor ${quote(name)} of "${this.label}": ${reason}`);
  }
}

/** Throws SyntaxError for anything but an archive of tensors. */
async function readArchive(
  source: ByteSource,
): Promise<{ zip: ZipFile; views: ReadonlyMap<string, StoredView>; folder: string }> {
  const start = await source.read(0, Math.min(2, source.byteLength));
  check(!LEGACY.every((byte, i) => start[i] === byte), "it has the format from before PyTorch 1.6");
  const zip = await ZipFile.open(source);
  const pickles = [...zip.entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  check(pickles.length === 1, `it has ${pickles.length} entries FOLDER/data.pkl, wanted one`);
  const pickle = pickles[0]!, folder = pickle.slice(0, -"data.pkl".length);
  if (zip.entries.has(`${folder}byteorder`)) {
    const order = new TextDecoder().decode(await zip.read(`${folder}byteorder`, { end: 6 }));
    check(order === "little", "its numbers are not in little-endian order");
  }
  const { byteLength } = zip.entries.get(pickle)!;
  check(byteLength <= MAX_PICKLE_BYTES, `pickle of ${byteLength} bytes, wanted at most ${MAX_PICKLE_BYTES}`);
  const views = asTensors(readPickle(await zip.read(pickle), { globals: GLOBALS, persistent: findStorage }));
  for (const { storage: { type, name, length } } of views.values()) {
    const entry = zip.entries.get(`${folder}data/${name}`);
    check(entry !== undefined, `it has no storage ${quote(name)}`);
    check(
      entry.byteLength === type.bytes * length,
      `storage ${quote(name)} has ${entry.byteLength} bytes, wanted ${type.bytes * length}`,
    );
  }
  return { zip, views, folder };
}

function asTensors(value: PickleValue): ReadonlyMap<string, StoredView> {
  check(value instanceof Map, "it holds no tensors by name");
  for (const [name, view] of value) {
    check(view instanceof StoredView, `${quote(name)} is no tensor`);
  }
  return value;
}

function makeOrderedDict(args: readonly PickleValue[]): PickleValue {
  check(args.length === 0, "it makes an OrderedDict from something");
  return new Map();
}

/** The persistent id of a storage: ("storage", type, name of its data, device, elements). */
function findStorage(id: PickleValue): PickleValue {
  const [kind, type, name, device, length] = Array.isArray(id) && id.length === 5 ? id : [];
  check(
    kind === "storage" && type instanceof StorageType && typeof name === "string" &&
      typeof device === "string" && isSize(length),
    "it has a persistent id that is no storage",
  );
  return new Storage(type, { name, length });
}

/** The arguments of PyTorch's function: storage, begin, shape, strides, and two that only training needs. */
function rebuildTensor(args: readonly PickleValue[]): PickleValue {
  const [storage, begin, shape, strides] = args;
  check(
    args.length === 6 && storage instanceof Storage && isSize(begin) && isSizes(shape) && isSizes(strides) &&
      shape.length === strides.length,
    "it has a tensor with other arguments than storage, offset, shape and strides",
  );
  const view = new StoredView(storage, { begin, shape, strides });
  const elements = shape.reduce((product, size) => product * size, 1);
  check(
    view.end <= storage.length && elements <= storage.length,
    `a tensor of shape [${shape.join(", ")}] does not lie in its storage of ${storage.length} elements`,
  );
  return view;
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && value >= 0;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);
}

/** The elements of `view`, row-major; `data` is the storage from the first to the last of them. */
function gather(data: Float32Array, { shape, strides }: StoredView): Float32Array<ArrayBuffer> {
  const count = shape.reduce((product, size) => product * size, 1);
  const gathered = new Float32Array(count), index = shape.map(() => 0);
  let from = 0;
  for (let i = 0; i < count; i++) {
    gathered[i] = data[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return gathered;
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

function check(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new SyntaxError(problem);
}
