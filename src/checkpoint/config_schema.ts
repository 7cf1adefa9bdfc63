import * as v from "valibot";
import { ConfigError, quote } from "./errors.ts";

/** No network may ask for a larger tensor. */
export const MAX_WEIGHT_BYTES = 2 ** 31;
/** Small enough for a 3×3 convolution of twice as many channels. */
const MAX_CHANNELS = 4096;
const MAX_BLOCKS = 8;

/** A whole number from `min` to `max`. */
export function integer(min: number, max: number) {
  return v.pipe(
    v.number(),
    v.check((n) => Number.isSafeInteger(n) && n >= min && n <= max, `a whole number from ${min} to ${max}`),
  );
}

/** A number from `min` to `max`, or, with `above`, one that is also larger than `min`. */
export function real(min: number, max: number, options: { above?: boolean } = {}) {
  const { above = false } = options;
  return v.pipe(
    v.number(),
    v.check(
      (n) => (above ? n > min : n >= min) && n <= max,
      `a number ${above ? "above" : "from"} ${min} to ${max}`,
    ),
  );
}

/** A channel count. */
export function channels() {
  return integer(1, MAX_CHANNELS);
}

/** A list of `min` to `max` values (by default as many as a network may have blocks). */
export function list<T extends v.GenericSchema>(item: T, { min = 1, max = MAX_BLOCKS } = {}) {
  const lengths = min === max ? `${min}` : `${min} to ${max}`;
  return v.pipe(
    v.array(v.unknown()),
    v.check((a) => a.length >= min && a.length <= max, `a list of ${lengths} values`),
    v.array(item), // only now, so that a list of millions makes one problem
  );
}

/** A key for which only `value` is supported; also its default. */
export function only<T extends string | number | boolean>(value: T) {
  return v.optional(v.literal(value), value);
}

/** What `parseConfig` is told beside schema and JSON. */
export interface ParseConfigOptions<Config> {
  /** The file, as errors call it. */
  readonly where: string;
  /** Keys beyond the schema's whose value changes nothing here. */
  readonly harmless: readonly string[];
  /** Problems between keys, each `KEY is VALUE, wanted WANTED`. */
  readonly check?: (config: Config) => string[];
}

/**
 * Checks `json` against `schema` and fills in defaults. Keys that start with `_` are free; any other key outside the
 * schema is refused if it asks for something (is not null, false, 0, empty or a list of these).
 * Throws one ConfigError that lists every problem.
 */
export function parseConfig<E extends v.ObjectEntries>(
  schema: v.ObjectSchema<E, undefined>,
  json: unknown,
  options: ParseConfigOptions<v.InferOutput<v.ObjectSchema<E, undefined>>>,
): v.InferOutput<v.ObjectSchema<E, undefined>> {
  const { where, harmless, check } = options;
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    fail(where, ["it is not a JSON object"]);
  }
  const problems: string[] = [];
  for (const [key, value] of Object.entries(json)) {
    if (Object.hasOwn(schema.entries, key)) continue;
    if ((key.startsWith("_") && key !== "__proto__") || harmless.includes(key) || asksForNothing(value)) {
      continue;
    }
    problems.push(
      `${quote(key)} is ${quote(value)}, which is not supported: wanted null, false or no such key`,
    );
  }
  const result = v.safeParse(schema, json);
  if (!result.success) problems.push(...result.issues.map((issue) => describe(issue, schema.entries)));
  else problems.push(...check?.(result.output) ?? []);
  if (!result.success || problems.length > 0) fail(where, problems);
  return result.output;
}

/** Throws the ConfigError for `problems` of the file `where`. */
function fail(where: string, problems: readonly string[]): never {
  throw new ConfigError(`Cannot use "${where}"`, problems.map((problem) => `${where}: ${problem}`));
}

function asksForNothing(value: unknown): boolean {
  return Array.isArray(value) ? value.every(asksForNothing) : !value;
}

function describe(issue: v.BaseIssue<unknown>, entries: v.ObjectEntries): string {
  const key = v.getDotPath(issue) ?? "";
  if (issue.input === undefined) return `${key} is missing, wanted ${entries[key]?.expects}`;
  const wanted = issue.kind === "schema" ? issue.expected : issue.message;
  return `${key} is ${quote(issue.input)}, wanted ${wanted}`;
}

/** A problem for each of `keys` whose list has not `length` entries. */
export function lengthProblems(
  lists: Readonly<Record<string, readonly unknown[]>>,
  { length, like }: { length: number; like: string },
): string[] {
  return Object.entries(lists)
    .filter(([, values]) => values.length !== length)
    .map(([key, values]) => `${key} has ${values.length} entries, wanted ${length} as ${like} has`);
}

/** A problem for each channel count that `norm_num_groups` does not divide. */
export function groupProblems(blockOutChannels: readonly number[], groups: number): string[] {
  return blockOutChannels
    .filter((count) => count % groups !== 0)
    .map((count) => `block_out_channels has ${count}, wanted a multiple of norm_num_groups, ${groups}`);
}
