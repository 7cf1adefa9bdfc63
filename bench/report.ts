import { describeBackend } from "../src/cli/environment.ts";
import type { AdapterFacts } from "../src/gpu/device.ts";
import { type Bar, barChart } from "./bar_chart.ts";
import type { Row } from "./group.ts";

/** What a group measured. */
export interface GroupResult {
  readonly name: string;
  readonly description: string;
  readonly rows: readonly Row[];
}

/** A run in full, as it is written to JSON. */
export interface Report {
  readonly adapter: string;
  /** Vendor and family as WebGPU gives them, and whether it computes on the CPU. */
  readonly driver: string;
  readonly runtime: string;
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly command: string;
  readonly groups: GroupResult[];
}

/** A report without results yet, for a run that starts now. */
export function openReport(facts: AdapterFacts, args: readonly string[]): Report {
  const { description, vendor, architecture, software, subgroupSize } = facts;
  const driver = [
    describeBackend(),
    `vendor ${[vendor, architecture].filter((text) => text !== "").join(" ") || "unknown"}`,
    software ? "software adapter" : "hardware adapter",
    subgroupSize > 0 ? `subgroups of ${subgroupSize}` : "no subgroups",
  ];
  const { os, arch } = Deno.build;
  return {
    adapter: description,
    driver: driver.join(", "),
    runtime: `Deno ${Deno.version.deno} on ${os} ${arch}, ${navigator.hardwareConcurrency} CPU threads`,
    date: new Date().toISOString(),
    command: ["deno task bench", ...args].join(" "),
    groups: [],
  };
}

/** The lines that stand above all tables. */
export function headerLines({ adapter, driver, runtime, date, command }: Report): string[] {
  return [
    `Adapter: ${adapter}`,
    `Driver:  ${driver}`,
    `Runtime: ${runtime}`,
    `Date:    ${date}`,
    `Command: ${command}`,
    "Rates are work divided by median time. Shares refer to the group peak of the same run; what fits into caches",
    "may move faster than the large copy there.",
  ];
}

const COLUMNS = ["", "n", "min ms", "median ms", "rate", "of peak"];

/** A group's rows as lines of a table; what does not fit a column stands indented below its row. */
export function tableLines(rows: readonly Row[]): string[] {
  const cells = rows.map(({ name, timing, rate }) => [
    name,
    String(timing.repeats),
    formatNumber(timing.minMs),
    formatNumber(timing.medianMs),
    rate ? `${formatNumber(rate.value)} ${rate.unit}` : "",
    rate ? `${Math.round(100 * rate.share)} %` : "",
  ]);
  const widths = COLUMNS.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ").trimEnd();
  return [
    line(COLUMNS),
    ...rows.flatMap((row, i) => [
      line(cells[i]!),
      `    ${[row.note, describeFigures(row), row.variant].filter(Boolean).join(" | ")}`,
    ]),
  ];
}

/** All groups as a chart: rates by their unit, and times of rows that have none. */
export function reportChart({ adapter, runtime, date, groups }: Report): string {
  const rows = groups.flatMap((group) => group.rows);
  const rated = (unit: string): Bar[] =>
    rows.flatMap(({ name, rate }) =>
      rate?.unit === unit
        ? [{
          label: name,
          value: rate.value,
          text: `${formatNumber(rate.value)} (${Math.round(100 * rate.share)} %)`,
        }]
        : []
    );
  const timed = rows.filter(({ rate }) => !rate).map(({ name, timing: { medianMs } }) => ({
    label: name,
    value: medianMs,
    text: formatNumber(medianMs),
  }));
  const sections = [
    { title: "GFLOP/s (share of the measured peak)", bars: rated("GFLOP/s") },
    { title: "GB/s (share of the measured peak)", bars: rated("GB/s") },
    { title: "ms, median", bars: timed },
  ];
  return barChart(`${adapter}; ${runtime}; ${date.slice(0, 10)}`, sections.filter((s) => s.bars.length > 0));
}

function describeFigures({ figures = {} }: Row): string {
  return Object.entries(figures).map(([name, value]) => `${name} ${formatNumber(value)}`).join(", ");
}

/** Three digits at least, no more than needed. */
function formatNumber(value: number): string {
  const decimals = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toFixed(decimals);
}
