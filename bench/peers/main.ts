// Times the same layers in our kernels and in other libraries, on the same machine, in turn.
// Usage: deno task bench:peers [--quick] [--only TEXT] [--links N] [--rounds N] [--python PROGRAM] [--json FILE] [--svg FILE]

// deno-lint-ignore-file no-console -- a command prints

import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { Gpu } from "../../src/gpu/device.ts";
import { barChart } from "../bar_chart.ts";
import { openReport } from "../report.ts";
import { contest } from "./contest.ts";
import { Contestant } from "./contestant.ts";
import { allEntries } from "./entries.ts";
import { methodLines, type Result, resultBars, resultLines, resultRows } from "./results.ts";
import { workName, works } from "./work.ts";

const USAGE = `Usage: deno task bench:peers [OPTION...]

  --quick           One convolution, matrix product and attention, few rounds: shows that everything works
  --only TEXT       Works whose name contains TEXT
  --links N         Length of the long chain, default 4; more on a GPU that needs less than 1 ms for a layer
  --rounds N        Default 3
  --python PROGRAM  Interpreter that has ncnn, numpy and torch, default python3
  --json FILE       Writes all results as JSON
  --svg FILE        Writes a bar chart
`;

try {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      links: { type: "string" },
      rounds: { type: "string" },
      python: { type: "string", default: "python3" },
      json: { type: "string" },
      svg: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) console.log(USAGE);
  else {
    const { quick, only, python, json, svg } = values;
    await compare({
      quick,
      only,
      python,
      json,
      svg,
      links: count("links", values.links ?? (quick ? "3" : "4"), 2),
      rounds: count("rounds", values.rounds ?? (quick ? "2" : "3"), 1),
    });
  }
} catch (error) {
  console.error(error instanceof TypeError ? `Error: ${error.message}` : error);
  Deno.exit(1);
}

interface Options {
  readonly quick: boolean;
  readonly only: string;
  readonly links: number;
  readonly rounds: number;
  readonly python: string;
  readonly json: string | undefined;
  readonly svg: string | undefined;
}

async function compare({ quick, only, links, rounds, python, json, svg }: Options): Promise<void> {
  const selected = works.filter((work) => workName(work).includes(only))
    .filter((work, i, all) => !quick || all.findIndex(({ kind }) => kind === work.kind) === i);
  if (selected.length === 0) {
    throw new TypeError(`Cannot compare "${only}": the works are ${works.map(workName).join(", ")}`);
  }
  const gpu = await Gpu.open({ allowCpu: true });
  const { facts } = gpu;
  gpu.close();
  const report = { ...openReport(facts, []), command: ["deno task bench:peers", ...Deno.args].join(" ") };
  const contestants = allEntries(python).map((entry) => new Contestant(entry));
  const directory = await Deno.makeTempDir({ prefix: "peers" });
  try {
    console.error("loading the contestants ...");
    await Promise.all(contestants.map((contestant) => contestant.start()));
    const load = Deno.loadavg()[0]!.toFixed(1);
    console.log(
      [
        `Adapter: ${report.adapter}`,
        `Driver:  ${report.driver}`,
        `Runtime: ${report.runtime}`,
        `Date:    ${report.date}, load ${load}`,
        `Command: ${report.command}`,
        ...methodLines({ links, rounds, software: facts.software }),
        ...contestants.map(({ entry, about, failure }) => `  ${entry.name}: ${failure ?? about}`),
      ].join("\n"),
    );
    const results: Result[] = [];
    for (const work of selected) {
      console.error(`${workName(work)} ...`);
      const taking = contestants.filter(({ entry: { kinds } }) => kinds?.includes(work.kind) ?? true);
      const result = { work, outcomes: await contest(work, taking, { links, rounds, directory }) };
      results.push(result);
      console.log(`\n${resultLines(result).join("\n")}`);
    }
    if (json) {
      const description = "The same layers in other libraries";
      const groups = [{ name: "peers", description, links, rounds, ...resultRows(results) }];
      await writeFile(json, `${JSON.stringify({ ...report, groups }, null, 2)}\n`);
    }
    if (svg) {
      const title = `${report.adapter}; ${report.runtime}; ${report.date.slice(0, 10)}`;
      await writeFile(svg, barChart(title, resultBars(results)));
    }
  } finally {
    for (const contestant of contestants) contestant.stop();
    await Deno.remove(directory, { recursive: true });
  }
}

function count(option: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new TypeError(`Cannot use --${option} "${text}": a whole number of at least ${least} wanted`);
}

async function writeFile(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}
