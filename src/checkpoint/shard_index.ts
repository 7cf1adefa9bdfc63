import { CheckpointError, quote } from "./errors.ts";
import { readJsonFrom } from "./read_json.ts";
import type { ByteSource } from "./unchanged_file.ts";

/** Larger than the index of any model; with 100,000 tensors it takes 10 MB. */
const MAX_INDEX_BYTES = 16 * 2 ** 20;
/** Each shard is an open file. */
const MAX_SHARDS = 256;
/** A plain file name: no folders, nothing hidden, nothing that a terminal or shell reads. */
const SHARD_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors$/;
const MAX_NAME_LENGTH = 255;

/**
 * Reads an index of shards: tensor name → shard name, which is a plain file name that ends in .safetensors.
 * `label` is what errors call the file. `metadata` is not looked at. Throws ConfigError if the file is no JSON, and
 * CheckpointError that lists all shard names that are not allowed.
 */
export async function readShardIndex(
  source: ByteSource,
  label: string,
): Promise<ReadonlyMap<string, string>> {
  const index = await readJsonFrom(source, { label, maxBytes: MAX_INDEX_BYTES });
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new CheckpointError(`Cannot read "${label}": weight_map is ${quote(map)}, wanted an object`);
  }
  const shardOf = new Map<string, unknown>(Object.entries(map));
  const shards = new Set(shardOf.values());
  if (shards.size > MAX_SHARDS) {
    throw new CheckpointError(
      `Cannot read "${label}": ${shards.size} shards, wanted at most ${MAX_SHARDS}; merge them`,
    );
  }
  const problems = [...shards].filter((shard) => !isShardName(shard)).map((shard) =>
    `shard ${quote(shard)}, wanted a plain file name that ends in .safetensors`
  );
  if (problems.length > 0) {
    throw new CheckpointError(`Cannot read "${label}": it names other files than shards`, problems);
  }
  return shardOf as ReadonlyMap<string, string>;
}

/** Throws CheckpointError listing every tensor on which the index `label` and the tensor names of its shards differ. */
export function checkShards(
  label: string,
  { shardOf, shards }: {
    readonly shardOf: ReadonlyMap<string, string>;
    /** For each shard, what knows the names of its tensors. */
    readonly shards: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
  },
): void {
  const problems: string[] = [];
  for (const [name, shard] of shardOf) {
    if (!shards.get(shard)!.has(name)) problems.push(`${quote(name)} is not in "${shard}"`);
  }
  for (const [shard, tensors] of shards) {
    for (const name of tensors.keys()) {
      const listed = shardOf.get(name);
      if (listed === shard) continue;
      problems.push(`${quote(name)} is in "${shard}", but listed ${listed ? `in "${listed}"` : "nowhere"}`);
    }
  }
  if (problems.length === 0) return;
  throw new CheckpointError(
    `Cannot use "${label}": it does not fit its shards; get all of them again from the model's source`,
    problems,
  );
}

function isShardName(name: unknown): name is string {
  return typeof name === "string" && name.length <= MAX_NAME_LENGTH && SHARD_NAME.test(name);
}
