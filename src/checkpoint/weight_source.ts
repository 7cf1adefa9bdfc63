import { dirname, join } from "node:path";
import { containedFile, requiredFile } from "./contained_file.ts";
import { CheckpointError, MissingModelError, quote } from "./errors.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { checkShards, readShardIndex } from "./shard_index.ts";
import { UnchangedFile } from "./unchanged_file.ts";

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
  /** What errors call the source. */
  readonly description: string;
}

/** The names diffusers and transformers save weights under, in the order they are looked for. */
const STEMS: readonly string[] = ["diffusion_pytorch_model", "model"];

/** Weights of one network in one or more open safetensors files. */
export class WeightFiles implements WeightSource, Disposable {
  readonly description: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #fileOf = new Map<string, SafetensorsFile>();

  /** Takes over `files`; no tensor name may be in two of them. */
  constructor(description: string, files: readonly SafetensorsFile[]) {
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
    const file = this.#fileOf.get(name);
    if (file === undefined) {
      throw new CheckpointError(`Cannot read tensor ${quote(name)} of "${this.description}": there is none`);
    }
    return await file.read(name);
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Name, relative to `root`, of the weight file in folder `part` of the model folder `root`, or of the index of its
 * shards. Throws MissingModelError if there is none.
 */
export async function locateWeights(root: string, part: string): Promise<string> {
  const names = [
    ...STEMS.map((stem) => `${stem}.safetensors`),
    ...STEMS.map((stem) => `${stem}.safetensors.index.json`),
  ];
  for (const name of names) {
    if (await containedFile(root, join(part, name)) !== null) return join(part, name);
  }
  const others: string[] = [];
  for (const name of await entryNames(join(root, part))) {
    if (/\.(bin|ckpt|pth?|msgpack|onnx|safetensors)$/.test(name)) others.push(quote(name));
  }
  const problem = others.length === 0
    ? `${part}: no "${names[0]}"`
    : `${part}: no "${names[0]}" but ${others.sort().join(", ")}; only safetensors of that name is read, ` +
      `so convert or rename the file`;
  throw new MissingModelError("Cannot find weights", [problem]);
}

/**
 * Opens the weights in folder `part` ("unet") of the model folder `root`: `diffusion_pytorch_model.safetensors`,
 * `model.safetensors`, or shards listed by an index of one of these names. Close it after use.
 * Throws MissingModelError if there are none, CheckpointError if a file is broken or lies outside `root`.
 */
export async function openWeights(root: string, part: string): Promise<WeightFiles> {
  const name = await locateWeights(root, part);
  if (name.endsWith(".json")) return await openShards(root, name);
  return new WeightFiles(name, [await openContained(root, name)]);
}

/** Names, relative to `root`, of all files that `openWeights` reads. Errors as there. */
export async function weightFileNames(root: string, part: string): Promise<string[]> {
  const name = await locateWeights(root, part);
  if (!name.endsWith(".json")) return [name];
  const shards = new Set((await readIndex(root, name)).values());
  return [name, ...[...shards].map((shard) => join(dirname(name), shard))];
}

async function openContained(root: string, name: string): Promise<SafetensorsFile> {
  return await SafetensorsFile.open(await requiredFile(root, name), name);
}

async function openShards(root: string, indexName: string): Promise<WeightFiles> {
  const shardOf = await readIndex(root, indexName);
  const files = new Map<string, SafetensorsFile>();
  try {
    for (const shard of new Set(shardOf.values())) {
      files.set(shard, await openContained(root, join(dirname(indexName), shard)));
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

async function entryNames(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}
