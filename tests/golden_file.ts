// Reader of tests/golden: what the reference computed, one safetensors file per case and an index of them all.
// It is no part of the product and shares nothing with its reader, so that neither can hide the other's mistakes.

import type { ModelFolder } from "../src/checkpoint/model_folder.ts";

/** What single precision alone does to an output: a difference of float tensors, or a count for 8-bit images. */
export type Float32Error =
  | { readonly max_abs: number; readonly max_rel: number; readonly rms_rel: number }
  | { readonly different: number; readonly of: number };

/** A tensor as the index describes it. */
export interface GoldenTensorEntry {
  readonly role: "input" | "output" | "intermediate";
  readonly shape: readonly number[];
  readonly dtype: "float32" | "float64" | "int64" | "uint8";
  readonly meaning?: string;
  /** `[from, to, of]` where only some channels of a large intermediate are kept. */
  readonly channels?: readonly [number, number, number];
}

/** Keys and values of a `config.json`, as diffusers writes it. */
// deno-lint-ignore no-explicit-any -- each case has its own keys; a test reads the few it knows
export type GoldenConfig = Record<string, any>;

/** One case of the index. Keys are the file's own. */
export interface GoldenCase {
  readonly name: string;
  readonly group: string;
  readonly file: string;
  /** What computes it: a diffusers class name for blocks, else `unet`, `vae`, `raft`, `scheduler`, ... */
  readonly network: string;
  readonly about: string;
  readonly config?: GoldenConfig;
  readonly dgafnet_config?: GoldenConfig;
  readonly controlnet_config?: GoldenConfig;
  /** A pipeline's configs, by part. */
  readonly configs?: Readonly<Record<string, GoldenConfig>>;
  /** How the weights are generated; see `weight()`. */
  readonly weights?: { readonly seed: number; readonly prefixes: readonly string[] };
  /** Everything that is no tensor: timestep, scales, steps, prompts, ... */
  readonly options?: GoldenConfig;
  readonly tensors: Readonly<Record<string, GoldenTensorEntry>>;
  readonly float32_error: Readonly<Record<string, Float32Error>>;
  /** Not in the index: set by tests that store weights at another precision. */
  readonly precision?: "f32" | "f16";
  /** Not in the index: set by tests that take the weights, and what is built from them, from files. */
  readonly model?: ModelFolder;
}

/** A stored tensor, row-major; PyTorch's layout (N, C, H, W; flows N, H, W, 2). int64 comes as float64. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly dtype: GoldenTensorEntry["dtype"];
  readonly data: Float32Array | Float64Array | Uint8Array;
}

/** A case with its tensors. */
export interface Golden {
  readonly case: GoldenCase;
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
}

const FOLDER = new URL("./golden/", import.meta.url);

/** Reads the index of all cases; some of them may have no file here. */
export function loadIndex(): GoldenCase[] {
  return JSON.parse(Deno.readTextFileSync(new URL("index.json", FOLDER))).cases;
}

/** Reads one case and all its tensors. Throws a RangeError for a name that the index lacks. */
export function loadCase(name: string): Golden {
  const found = loadIndex().find((entry) => entry.name === name);
  if (!found) throw new RangeError(`Cannot load golden "${name}": the index has no such case`);
  return { case: found, tensors: readTensors(Deno.readFileSync(new URL(found.file, FOLDER))) };
}

/** Reads a case beside the index, whose entry is `PATH.json` and whose tensors are `PATH.safetensors`. */
export function loadSingleCase(path: string): Golden {
  const entry: GoldenCase = JSON.parse(Deno.readTextFileSync(new URL(`${path}.json`, FOLDER)));
  return { case: entry, tensors: readTensors(Deno.readFileSync(new URL(`${path}.safetensors`, FOLDER))) };
}

/** The tensor `name` of a case. Throws a RangeError, which lists the names, where there is none. */
export function tensorOf(golden: Golden, name: string): GoldenTensor {
  const tensor = golden.tensors.get(name);
  if (tensor) return tensor;
  const names = [...golden.tensors.keys()].join(", ");
  throw new RangeError(`Cannot find tensor "${name}" of golden "${golden.case.name}": it has ${names}`);
}

/** The `max_rel` that `assertGolden()` wants for tensor `name`. Throws a RangeError where the index has none. */
export function maxRelOf(golden: Golden, name: string): number {
  const error = golden.case.float32_error[name];
  if (error && "max_rel" in error) return error.max_rel;
  throw new RangeError(`Cannot find max_rel of "${name}" in golden "${golden.case.name}"`);
}

/** Reads the tensors of a safetensors file: u64 length of the header, JSON header, data. */
export function readTensors(file: Uint8Array<ArrayBuffer>): Map<string, GoldenTensor> {
  const headerLength = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerLength)));
  delete header.__metadata__;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries<StoredTensor>(header)) {
    // A copy of its own is aligned, whatever the offset in the file.
    const bytes = file.slice(8 + headerLength + from, 8 + headerLength + to).buffer;
    tensors.set(name, { shape, ...decode(dtype, bytes) });
  }
  return tensors;
}

interface StoredTensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly data_offsets: [number, number];
}

function decode(dtype: string, bytes: ArrayBuffer): Pick<GoldenTensor, "dtype" | "data"> {
  switch (dtype) {
    case "F32":
      return { dtype: "float32", data: new Float32Array(bytes) };
    case "F64":
      return { dtype: "float64", data: new Float64Array(bytes) };
    case "I64":
      return { dtype: "int64", data: Float64Array.from(new BigInt64Array(bytes), Number) };
    case "U8":
      return { dtype: "uint8", data: new Uint8Array(bytes) };
    default:
      throw new TypeError(`Cannot read golden tensor: dtype ${dtype}, wanted F32, F64, I64 or U8`);
  }
}
