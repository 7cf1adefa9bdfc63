// The benchmark: checks and times kernels, networks and whole clips on the adapter at hand.
// Usage: deno task bench [GROUP...] [--quick] [--json FILE] [--svg FILE]

// deno-lint-ignore-file no-console -- a command prints

import { dirname } from "node:path";
import { Gpu } from "../src/gpu/device.ts";
import { type BenchArguments, parseArguments, usage } from "./arguments.ts";
import type { Context, Group } from "./group.ts";
import * as checkpoints from "./groups/checkpoints.ts";
import * as endurance from "./groups/endurance.ts";
import * as kernels from "./groups/kernels.ts";
import * as networks from "./groups/networks.ts";
import * as peak from "./groups/peak.ts";
import * as scale from "./groups/scale.ts";
import { measureCeilings } from "./measure_ceilings.ts";
import { headerLines, openReport, reportChart, tableLines } from "./report.ts";

const GROUPS: readonly Group[] = [peak, kernels, networks, scale, endurance, checkpoints];

/** Runs the groups, prints their tables and writes the files that are asked for. */
async function bench({ groups, quick, json, svg }: BenchArguments): Promise<void> {
  using gpu = await Gpu.open({ allowCpu: true });
  const report = openReport(gpu.facts, Deno.args);
  console.log(headerLines(report).join("\n"));
  console.error("measuring the ceilings ...");
  const context: Context = {
    gpu,
    quick,
    ceilings: await measureCeilings(gpu, quick),
    progress: (what) => console.error(`${what} ...`),
  };
  for (const group of [peak, ...groups.filter(({ name }) => name !== peak.name)]) {
    const { name, description } = group;
    const rows = await group.run(context);
    report.groups.push({ name, description, rows });
    console.log(`\n${name}: ${description}\n${tableLines(rows).join("\n")}`);
    // After each group: a later one that fails takes nothing with it.
    if (json) await writeFile(json, `${JSON.stringify(report, null, 2)}\n`);
    if (svg) await writeFile(svg, reportChart(report));
  }
}

/** What the command line asks for; ends the process where it is not understood. */
function parseOrExit(): BenchArguments | null {
  try {
    return parseArguments(Deno.args, GROUPS);
  } catch (error) {
    console.error(`Error: ${(error as Error).message}`);
    Deno.exit(2);
  }
}

async function writeFile(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}

const parsed = parseOrExit();
if (parsed) await bench(parsed);
else console.log(usage(GROUPS));
