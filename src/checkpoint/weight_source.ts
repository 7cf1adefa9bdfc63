import { dirname, join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { requiredFile } from "./contained_file.ts";
import { CheckpointError, quote } from "./errors.ts";
import { locateWeights } from "./locate_weights.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { checkShards, readShardIndex } from "./shard_index.ts";
import { TorchFile } from "./torch_file.ts";
import { UnchangedFile } from "./unchanged_file.ts";
import type { PartOptions, WeightPart } from "./weight_parts.ts";

/** Named weight tensors, whatever holds them. */
export interface WeightSource {
  has(name: string): boolean;
  /** Sizes in PyTorch's order; undefined if there is no such tensor. */
  shape(name: string): readonly number[] | undefined;
  /** Element type as safetensors names it ("F32"); undefined if there is no such tensor. */
  dtype(name: string): string | undefined;
  names(): Iterable<string>;
  /** The tensor's data, row-major float32. */
  read(name: string): Promise<Float32Array>;
  /** The tensor's data, row-major, in one part or more. */
  parts(name: string, options: PartOptions): AsyncIterable<WeightPart>;
  /** What errors call the source. */
  readonly description: string;
}

type TensorFile = SafetensorsFile | TorchFile;

/** Weights of one network in one or more open files. */
export class WeightFiles implements WeightSource, Disposable {
  readonly description: string;
  readonly #files: readonly TensorFile[];
  readonly #fileOf = new Map<string, TensorFile>();

  /** Takes over `files`; no tensor name may be in two of them. */
  constructor(description: string, files: readonly TensorFile[]) {
    this.description = description;
    this.#files = files;
    for (const file of files) {
      for (const name of file.tensors.keys()) this.#fileOf.set(name, file);
    }
  }

  has(name: string): boolean {
    return this.#fileOf.has(name);
  }

  shape(name: string): readonly number[] | undefined {
    return this.#fileOf.get(name)?.tensors.get(name)?.shape;
  }

  dtype(name: string): string | undefined {
    return this.#fileOf.get(name)?.tensors.get(name)?.dtype;
  }

  names(): Iterable<string> {
    return this.#fileOf.keys();
  }

  async read(name: string): Promise<Float32Array> {
    return await this.#file(name).read(name);
  }

  parts(name: string, options: PartOptions): AsyncIterable<WeightPart> {
    return this.#file(name).parts(name, options);
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #file(name: string): TensorFile {
    const file = this.#fileOf.get(name);
    if (file === undefined) {
      throw new CheckpointError(`Cannot read tensor ${quote(name)} of "${this.description}": there is none`);
    }
    return file;
  }
}

/**
 * Opens the weights in folder `part` ("unet") of the model folder `root`, as `locateWeights` finds them. Close it after
 * use. Throws MissingModelError if there are none, CheckpointError if a file is broken or lies outside `root`.
 */
export async function openWeights(root: string, part: string): Promise<WeightFiles> {
  return await openWeightFile(root, await locateWeights(root, part));
}

/**
 * Opens the weight file `name` in the folder `root`, or the shards beside an index of that name. Errors as
 * `openWeights`.
 */
export async function openWeightFile(root: string, name: string): Promise<WeightFiles> {
  if (name.endsWith(".json")) return await openShards(root, name);
  return await openWeightPath(await requiredFile(root, name), escapeName(name));
}

/** Opens the weights in one file, which errors call `name`: safetensors, or what `torch.save` wrote. */
export async function openWeightPath(path: string, name: string): Promise<WeightFiles> {
  const Format = name.endsWith(".safetensors") ? SafetensorsFile : TorchFile;
  return new WeightFiles(name, [await Format.open(path, name)]);
}

/** Names, relative to `root`, of all files that `openWeightFile` reads. Errors as there. */
export async function weightFileNames(root: string, name: string): Promise<string[]> {
  if (!name.endsWith(".json")) return [name];
  const shards = new Set((await readIndex(root, name)).values());
  return [name, ...[...shards].map((shard) => join(dirname(name), shard))];
}

async function openShards(root: string, indexName: string): Promise<WeightFiles> {
  const shardOf = await readIndex(root, indexName);
  const files = new Map<string, SafetensorsFile>();
  try {
    for (const shard of new Set(shardOf.values())) {
      const name = join(dirname(indexName), shard);
      files.set(shard, await SafetensorsFile.open(await requiredFile(root, name), name));
    }
    const shards = new Map([...files].map(([shard, { tensors }]) => [shard, tensors]));
    checkShards(indexName, { shardOf, shards });
  } catch (error) {
    for (const file of files.values()) file.close();
    throw error;
  }
  return new WeightFiles(indexName, [...files.values()]);
}

async function readIndex(root: string, indexName: string): Promise<ReadonlyMap<string, string>> {
  using file = await UnchangedFile.open(await requiredFile(root, indexName), indexName);
  return await readShardIndex(file, indexName);
}
