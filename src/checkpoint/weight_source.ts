import { dirname, join } from "node:path";
import { containedFile, readJson } from "./contained_file.ts";
import { CheckpointError, MissingModelError, quote } from "./errors.ts";
import { SafetensorsFile } from "./safetensors.ts";

/** Named weight tensors, whatever holds them. */
export interface WeightSource {
  has(name: string): boolean;
  /** Sizes in PyTorch's order; undefined if there is no such tensor. */
  shape(name: string): readonly number[] | undefined;
  names(): Iterable<string>;
  /** The tensor's data, row-major float32. */
  read(name: string): Promise<Float32Array>;
  /** What errors call the source. */
  readonly description: string;
}

/** The names diffusers and transformers save weights under, in the order they are looked for. */
const STEMS: readonly string[] = ["diffusion_pytorch_model", "model"];
const SHARD_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors$/;

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

async function openContained(root: string, name: string): Promise<SafetensorsFile> {
  const path = await containedFile(root, name);
  if (path === null) throw new MissingModelError("Cannot find weights", [`no ${quote(name)}`]);
  return await SafetensorsFile.open(path, name);
}

async function openShards(root: string, indexName: string): Promise<WeightFiles> {
  const shardOf = await readIndex(root, indexName);
  const files = new Map<string, SafetensorsFile>();
  try {
    for (const shard of new Set(shardOf.values())) {
      files.set(shard, await openContained(root, join(dirname(indexName), shard)));
    }
    checkShards(indexName, { shardOf, files });
  } catch (error) {
    for (const file of files.values()) file.close();
    throw error;
  }
  return new WeightFiles(indexName, [...files.values()]);
}

/** Tensor name → shard name, as the index says. */
async function readIndex(root: string, indexName: string): Promise<Map<string, string>> {
  const index = await readJson((await containedFile(root, indexName))!, indexName);
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new CheckpointError(`Cannot read "${indexName}": weight_map is not an object`);
  }
  const shardOf = new Map(Object.entries(map as Record<string, unknown>));
  for (const shard of new Set(shardOf.values())) {
    if (typeof shard !== "string" || shard.length > 255 || !SHARD_NAME.test(shard)) {
      throw new CheckpointError(
        `Cannot read "${indexName}": shard ${
          quote(shard)
        }, wanted a plain file name that ends in .safetensors`,
      );
    }
  }
  return shardOf as Map<string, string>;
}

/** The index and the shards must agree on every tensor. */
function checkShards(
  indexName: string,
  { shardOf, files }: { shardOf: ReadonlyMap<string, string>; files: ReadonlyMap<string, SafetensorsFile> },
): void {
  const problems: string[] = [];
  for (const [name, shard] of shardOf) {
    if (!files.get(shard)!.tensors.has(name)) problems.push(`${quote(name)} is not in "${shard}"`);
  }
  for (const [shard, file] of files) {
    for (const name of file.tensors.keys()) {
      const listed = shardOf.get(name);
      if (listed === shard) continue;
      problems.push(`${quote(name)} is in "${shard}", but listed ${listed ? `in "${listed}"` : "nowhere"}`);
    }
  }
  if (problems.length > 0) {
    throw new CheckpointError(`Cannot use "${indexName}": it does not fit its shards`, problems);
  }
}

async function entryNames(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
}
