import { parseArgs } from "node:util";
import type { Group } from "./group.ts";

/** What the command line asks for. */
export interface BenchArguments {
  readonly groups: readonly Group[];
  readonly quick: boolean;
  /** Files to write; undefined for none. */
  readonly json: string | undefined;
  readonly svg: string | undefined;
}

/** Parses the command line; null asks for help. Throws `TypeError` for anything that is not understood. */
export function parseArguments(
  args: readonly string[],
  known: readonly Group[],
): BenchArguments | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      svg: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return null;
  const groups = positionals.map((wanted) => {
    const found = known.find(({ name }) => name === wanted);
    if (found) return found;
    throw new TypeError(
      `Cannot run group "${wanted}": ${
        known.map(({ name }) => name).join(", ")
      } are known; see deno task bench --help`,
    );
  });
  return {
    groups: groups.length > 0 ? known.filter((group) => groups.includes(group)) : known,
    quick: values.quick,
    json: values.json,
    svg: values.svg,
  };
}

/** What `--help` prints. */
export function usage(known: readonly Group[]): string {
  return [
    "Usage: deno task bench [GROUP...] [--quick] [--json FILE] [--svg FILE]",
    "",
    "Runs all groups unless some are named:",
    ...known.map(({ name, description }) => `  ${name.padEnd(11)} ${description}`),
    "",
    "  --quick      Few repeats and small shapes only: shows that everything works, not how fast it is",
    "  --json FILE  Writes all results as JSON",
    "  --svg FILE   Writes a bar chart",
    "",
  ].join("\n");
}
