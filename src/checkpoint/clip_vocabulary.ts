import { join } from "node:path";
import * as v from "valibot";
import type { CLIPVocabulary } from "../text/clip_tokenizer.ts";
import { integer, only, parseConfig } from "./config_schema.ts";
import { containedFile, requiredFile } from "./contained_file.ts";
import { ConfigError, quote } from "./errors.ts";
import { readJson } from "./read_json.ts";
import { UnchangedFile } from "./unchanged_file.ts";

/** CLIP's vocabulary takes 1 MB, its merges half of that, both in one file 2 to 4 MB. */
const MAX_BYTES = 2 ** 24;
/** As many as a text encoder's table may have. */
const MAX_ID = 1_000_000;

/** The files that a vocabulary may be read from. */
export const CLIP_VOCABULARY_FILES: readonly string[] = [
  "vocab.json",
  "merges.txt",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
];

const REQUIRED_TOKENS = ["<|startoftext|>", "<|endoftext|>"];

const token = v.union([v.string(), v.object({ content: v.string() })]);

const configSchema = v.object({
  tokenizer_class: v.optional(v.picklist(["CLIPTokenizer", "CLIPTokenizerFast"]), "CLIPTokenizer"),
  do_lower_case: only(true),
  model_max_length: v.optional(integer(2, 1024), 77),
  pad_token: v.optional(token, "<|endoftext|>"),
});

/** What concerns decoding, where the files once lay, and tokens that the vocabulary must hold anyway. */
const HARMLESS_CONFIG = [
  "add_prefix_space",
  "added_tokens_decoder",
  "backend",
  "bos_token",
  "clean_up_tokenization_spaces",
  "eos_token",
  "errors",
  "name_or_path",
  "special_tokens_map_file",
  "unk_token",
];

const mapSchema = v.object({ pad_token: v.optional(token) });

const HARMLESS_MAP = ["bos_token", "eos_token", "unk_token"];

const jsonSchema = v.object({
  model: v.object({
    type: v.literal("BPE"),
    end_of_word_suffix: v.literal("</w>"),
    vocab: v.record(v.string(), v.unknown()),
    merges: v.array(v.unknown()),
  }),
});

/**
 * Reads the vocabulary of a CLIP tokenizer from folder `part` ("tokenizer") of the model folder `root`: `vocab.json`
 * and `merges.txt`, or else both of `tokenizer.json`; the padding token from `special_tokens_map.json` or else
 * `tokenizer_config.json`, which also has the length of prompts. The last two may be missing: padding is then
 * `<|endoftext|>` and the length 77.
 * Throws MissingModelError if there is no vocabulary, ConfigError that lists what is malformed or not supported.
 */
export async function readCLIPVocabulary(root: string, part: string): Promise<CLIPVocabulary> {
  const config = await readSettings(root, part);
  const { where, ids, merges } = await containedFile(root, join(part, "vocab.json")) === null &&
      await containedFile(root, join(part, "tokenizer.json")) !== null
    ? await readTokenizerJson(root, join(part, "tokenizer.json"))
    : await readVocabAndMerges(root, part);
  const problems = [...new Set([...REQUIRED_TOKENS, config.padding])]
    .filter((name) => !Object.hasOwn(ids, name))
    .map((name) => `${where}: ${quote(name)} is missing, wanted a whole number`);
  for (const [name, id] of Object.entries(ids)) {
    if (Number.isInteger(id) && id >= 0 && id < MAX_ID) continue;
    problems.push(`${where}: ${quote(name)} is ${quote(id)}, wanted a whole number from 0 to ${MAX_ID - 1}`);
  }
  if (problems.length > 0) throw new ConfigError(`Cannot use "${where}"`, problems);
  return { ids, merges, ...config };
}

async function readSettings(root: string, part: string): Promise<Pick<CLIPVocabulary, "padding" | "length">> {
  const configName = join(part, "tokenizer_config.json"), mapName = join(part, "special_tokens_map.json");
  const config = parseConfig(configSchema, await readOptional(root, configName), {
    where: configName,
    harmless: HARMLESS_CONFIG,
  });
  // Where the two differ, as in Stable Diffusion 2, transformers follows the map.
  const { pad_token = config.pad_token } = parseConfig(mapSchema, await readOptional(root, mapName), {
    where: mapName,
    harmless: HARMLESS_MAP,
  });
  return {
    padding: typeof pad_token === "string" ? pad_token : pad_token.content,
    length: config.model_max_length,
  };
}

async function readOptional(root: string, name: string): Promise<unknown> {
  const path = await containedFile(root, name);
  return path === null ? {} : await readJson(path, { label: name, maxBytes: MAX_BYTES });
}

interface Model extends Pick<CLIPVocabulary, "ids" | "merges"> {
  /** The file that `ids` is from. */
  readonly where: string;
}

async function readVocabAndMerges(root: string, part: string): Promise<Model> {
  const where = join(part, "vocab.json"), mergesName = join(part, "merges.txt");
  const ids = await readJson(await requiredFile(root, where), { label: where, maxBytes: MAX_BYTES });
  if (typeof ids !== "object" || ids === null || Array.isArray(ids)) {
    throw new ConfigError(`Cannot use "${where}"`, [`${where}: it is not a JSON object`]);
  }
  const lines = await readLines(await requiredFile(root, mergesName), mergesName);
  const first = lines[0]?.startsWith("#version") ? 1 : 0;
  return { where, ids: ids as Record<string, number>, merges: parseMerges(lines.slice(first), mergesName) };
}

async function readTokenizerJson(root: string, where: string): Promise<Model> {
  const json = await readJson(await requiredFile(root, where), { label: where, maxBytes: MAX_BYTES });
  const result = v.safeParse(jsonSchema, json);
  if (!result.success) {
    throw new ConfigError(
      `Cannot use "${where}"`,
      result.issues.map((issue) =>
        `${where}: ${v.getDotPath(issue)} is ${quote(issue.input)}, wanted ${issue.expected}`
      ),
    );
  }
  const { vocab, merges } = result.output.model;
  return { where, ids: vocab as Record<string, number>, merges: parseMerges(merges, where) };
}

async function readLines(path: string, name: string): Promise<string[]> {
  using file = await UnchangedFile.open(path, name);
  if (file.byteLength > MAX_BYTES) {
    throw new ConfigError(`Cannot use "${name}"`, [
      `${name}: ${file.byteLength} bytes, wanted at most ${MAX_BYTES}`,
    ]);
  }
  const text = new TextDecoder().decode(await file.read(0, file.byteLength));
  return text.split(/\r?\n/).filter((line) => line !== "");
}

/** Pairs written as "a b" or, by newer versions, as ["a", "b"]. */
function parseMerges(merges: readonly unknown[], where: string): [string, string][] {
  const problems: string[] = [];
  const pairs = merges.map((merge, i): [string, string] => {
    const [a, b, ...rest] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    if (typeof a === "string" && a && typeof b === "string" && b && rest.length === 0) return [a, b];
    problems.push(`${where}: merge ${i} is ${quote(merge)}, wanted two tokens`);
    return ["", ""];
  });
  if (problems.length > 0) throw new ConfigError(`Cannot use "${where}"`, problems);
  return pairs;
}
