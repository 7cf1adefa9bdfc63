import fc from "fast-check";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parseControlNetConfig } from "../../src/checkpoint/controlnet_config.ts";
import { parseDGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import { CheckpointError, ConfigError, type ListedError } from "../../src/checkpoint/errors.ts";
import { parseModelIndex } from "../../src/checkpoint/model_index.ts";
import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { readJsonFrom } from "../../src/checkpoint/read_json.ts";
import { parseSchedulerConfig } from "../../src/checkpoint/scheduler_config.ts";
import { checkShards, readShardIndex } from "../../src/checkpoint/shard_index.ts";
import { parseUNetConfig } from "../../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import { CONTROLNET_CONFIG } from "../vsr/_stablevsr_folder.ts";
import * as reference from "../reference/model_configs.ts";
import { parseStrictJsonBytes } from "../reference/strict_json.ts";
import { CountingSource } from "./_counting_source.ts";
import { type Edit, editBytes, edits, editTokens } from "./_edits.ts";
import { assertPrintable, fuzzTest, reasonOf } from "./_fuzz.ts";

/** A file of a model, how it is read, and how the reference reads it. */
interface Format {
  readonly path: string;
  readonly parse: (json: unknown, where: string) => object;
  readonly expected: reference.ParseConfig;
  readonly text: string;
}

const FORMATS: readonly Format[] = [
  format("model_index.json", parseModelIndex, reference.modelIndex),
  format("unet/config.json", parseUNetConfig, reference.unetConfig),
  format("vae/config.json", parseVAEConfig, reference.vaeConfig),
  format("dgafnet/config.json", parseDGAFNetConfig, reference.dgafnetConfig),
  {
    path: "controlnet/config.json",
    parse: parseControlNetConfig,
    expected: reference.controlnetConfig,
    text: JSON.stringify(CONTROLNET_CONFIG, null, 2),
  },
  format("flow/config.json", parseRAFTConfig, reference.raftConfig),
  format("scheduler/scheduler_config.json", parseSchedulerConfig, reference.schedulerConfig),
];

const MAX_BYTES = 2 ** 20;

const REASONS = {
  "not UTF-8": /it is not UTF-8/,
  "not JSON": /not valid JSON/,
  "nested too deeply": /nested deeper/,
  "a key twice": /appears twice/,
  "a key that is not Unicode": /is not Unicode/,
  "not an object": /it is not a JSON object/,
  "keys that are not supported": /which is not supported/,
  "weight_map is no object": /weight_map is [^]*, wanted an object/,
  "names that are no shards": /shard [^]*, wanted a plain file name/,
  "index and shards differ": / is not in "|, but listed /,
  "keys missing": /is missing, wanted/,
  "values of a wrong type or range": / is [^]*, wanted /,
  "keys that do not fit each other": / has [^]*, wanted | begins with | which makes weights of /,
  "batch norm over both pictures": /pools both pictures/,
};

fuzzTest(
  "Configurations: of 12,000 mutated ones those are read that the reference reads, to the same values",
  {
    count: 12_000,
    cases: fc.record({ from: fc.constantFrom(...FORMATS), ...mutation() }),
    run: async ({ from, changes, raw }) => {
      const bytes = mutate(from.text, { changes, raw });
      const source = new CountingSource(bytes);
      const expected = outcomeOf(() => from.expected(parseStrictJsonBytes(bytes)));
      let config: object;
      try {
        const json = await readJsonFrom(source, { label: from.path, maxBytes: MAX_BYTES });
        config = from.parse(json, from.path);
      } catch (error) {
        assert.equal(expected, null, `refused, but the reference accepts: ${(error as Error).message}`);
        return refusal(error, { source, wanted: [ConfigError], where: from.path });
      }
      assert.ok(expected, "accepted, but the reference refuses");
      assert.ok(Object.keys(config).length > 0);
      assert.deepEqual(config, pick(expected, Object.keys(config)));
      assert.equal(({} as { a?: unknown }).a, undefined); // nothing has reached the prototype
      return "accepted";
    },
  },
);

const SHARDS: ReadonlyMap<string, ReadonlyMap<string, unknown>> = new Map([
  ["a.safetensors", new Map([["conv_in.weight", 1], ["conv_in.bias", 1], ["4", 1]])],
  ["b.safetensors", new Map([["conv_out.weight", 1], ["conv_out.bias", 1]])],
]);

const INDEX = JSON.stringify({
  metadata: { total_size: 64 },
  weight_map: Object.fromEntries(
    [...SHARDS].flatMap(([shard, tensors]) => [...tensors.keys()].map((name) => [name, shard])),
  ),
});

fuzzTest(
  "Shard indexes: of 12,000 mutated ones those are accepted whose names are just those of the shards",
  {
    count: 12_000,
    cases: fc.record(mutation()),
    run: async (how) => {
      const bytes = mutate(INDEX, how);
      const source = new CountingSource(bytes);
      const expected = outcomeOf(() => expectedIndex(bytes));
      let shardOf: ReadonlyMap<string, string>;
      try {
        shardOf = await readShardIndex(source, "x.index.json");
        const shards = new Map(
          [...new Set(shardOf.values())].map((name) => [name, SHARDS.get(name) ?? new Map()]),
        );
        checkShards("x.index.json", { shardOf, shards });
      } catch (error) {
        assert.equal(expected, null, `refused, but the reference accepts: ${(error as Error).message}`);
        return refusal(error, { source, wanted: [ConfigError, CheckpointError], where: "x.index.json" });
      }
      assert.ok(expected, "accepted, but the reference refuses");
      assert.deepEqual(shardOf, expected);
      return "accepted";
    },
  },
);

/** The index's map, by the reference's parser; throws where it is not that of whole shards. */
function expectedIndex(bytes: Uint8Array): Map<string, string> {
  const index = parseStrictJsonBytes(bytes);
  const map = index instanceof Map ? index.get("weight_map") : null;
  assert.ok(map instanceof Map);
  const used = new Set(map.values());
  for (const [name, shard] of map) assert.ok(typeof shard === "string" && SHARDS.get(shard)?.has(name));
  for (const [shard, tensors] of SHARDS) {
    if (used.has(shard)) { for (const name of tensors.keys()) assert.equal(map.get(name), shard); }
  }
  return map as Map<string, string>;
}

/** Checks that a refusal is of a wanted class, names the file and can be printed; returns its reason. */
function refusal(
  error: unknown,
  { source, wanted, where }: {
    readonly source: CountingSource;
    readonly wanted: readonly (new (message: string) => ListedError)[];
    readonly where: string;
  },
): string {
  assert.ok(wanted.some((type) => error instanceof type), (error as Error).stack);
  const { message } = error as ListedError;
  assertPrintable(message);
  assert.ok(message.includes(where), message);
  assert.ok(message.length < 100_000, `${message.length} characters`);
  assert.ok(source.bytesRead <= source.byteLength);
  return reasonOf(message, REASONS);
}

/** Changes to tokens, and now and then to bytes. */
function mutation() {
  return {
    changes: fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, { weight: 19, arbitrary: edits(3) }),
    raw: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: edits(2) }),
  };
}

function mutate(
  text: string,
  { changes, raw }: { readonly changes: readonly Edit[]; readonly raw: readonly Edit[] },
): Uint8Array {
  return editBytes(new TextEncoder().encode(editTokens(text, changes)), raw);
}

function format(path: string, parse: Format["parse"], expected: Format["expected"]): Format {
  const file = fileURLToPath(new URL(`../../weights/nano/${path}`, import.meta.url));
  return { path, parse, expected, text: Deno.readTextFileSync(file) };
}

function pick(values: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, values[key]]));
}

function outcomeOf<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch {
    return null;
  }
}
