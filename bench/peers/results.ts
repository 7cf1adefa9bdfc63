import type { Bar } from "../bar_chart.ts";
import type { Row } from "../group.ts";
import type { Outcome } from "./contest.ts";
import { type Work, workFlop, workName } from "./work.ts";

/** A measurement that was not made, and why. */
export interface Failure {
  readonly name: string;
  readonly variant: string;
  readonly note: string;
}

/** A work's outcomes; the first is what the others are compared with. */
export interface Result {
  readonly work: Work;
  readonly outcomes: readonly Outcome[];
}

/** What stands above the tables: how the times were made, and to whom that is unfair. */
export function methodLines(
  { links, rounds, software }: {
    readonly links: number;
    readonly rounds: number;
    readonly software: boolean;
  },
): string[] {
  return [
    `Method:  each contestant is a process. In each of ${rounds} rounds each has a turn: half a second, or once if it needs`,
    `         longer, of a chain of 1 layer and one of ${links} in alternation. A layer's time is the slope between the two:`,
    "         waits (11 ms in Deno), transfers and changes of layout at the ends cancel out. Medians over turns.",
    "         CPU ms is the time of the contestant's whole process, user and system.",
    "         × is a contestant's time over that of the first: more than 1 is slower. float32 throughout, no bias.",
    "Before timing: checked against float64; weights prepared, which for ours and ncnn includes Winograd's transform.",
    "Attention is each library's own: MultiHeadAttention of ONNX Runtime, dotProductAttention of jax-js, SDPA of ncnn,",
    "         scaled_dot_product_attention of PyTorch; tfjs has none and runs matMul, softmax, matMul.",
    "Unfair to the peers: Deno lists no subgroups among an adapter's features, so those that look for them do without",
    "         (ours asks by name). Their tiles are made for GPUs.",
    ...software
      ? [
        "         This adapter computes on the CPU, where ours were tuned and theirs were not: the order on a GPU may differ,",
        "         and the CPU rows show what a GPU interface costs here.",
      ]
      : ["         CPU times say little here: this adapter computes by itself."],
  ];
}

const COLUMNS = ["", "on", "ms", "min ms", "×", "CPU ms", "× CPU", "GFLOP/s", "error"];

/** One work as lines of a table. */
export function resultLines({ work, outcomes }: Result): string[] {
  const rows = outcomes.map((outcome) => {
    const { entry } = outcome.contestant;
    if (outcome.failure !== null) return [entry.name, entry.on, outcome.failure];
    const { wall, cpu, error } = outcome;
    const ratios = ratiosOf(outcome, outcomes[0]!);
    return [
      entry.name,
      entry.on,
      digits(wall.medianMs),
      digits(wall.minMs),
      ratios ? digits(ratios.wall) : "",
      digits(cpu.medianMs),
      ratios ? digits(ratios.cpu) : "",
      digits(gflops(work, wall.medianMs)),
      error.toExponential(1),
    ];
  });
  const timed = [COLUMNS, ...rows.filter((row) => row.length === COLUMNS.length)];
  const names = Math.max(...rows.map(([name]) => name!.length));
  const widths = COLUMNS.map((_, i) => i === 0 ? names : Math.max(...timed.map((row) => row[i]!.length)));
  function line(row: readonly string[]): string {
    return row.map((cell, i) =>
      i < 2 || row.length < COLUMNS.length ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
    )
      .join("  ").trimEnd();
  }
  return [workName(work), ...[COLUMNS, ...rows].map((row) => `  ${line(row)}`)];
}

/** Rows of the harness's format, and what is missing among them. */
export function resultRows(results: readonly Result[]): { rows: Row[]; failures: Failure[] } {
  const rows: Row[] = [], failures: Failure[] = [];
  for (const { work, outcomes } of results) {
    for (const outcome of outcomes) {
      const { entry, about } = outcome.contestant;
      const name = `${workName(work)}: ${entry.name}`, variant = about || entry.name;
      if (outcome.failure !== null) {
        failures.push({ name, variant, note: outcome.failure });
        continue;
      }
      const { wall, cpu, error } = outcome, ratios = ratiosOf(outcome, outcomes[0]!);
      rows.push({
        name,
        variant,
        timing: wall,
        figures: {
          "GFLOP/s": gflops(work, wall.medianMs),
          "CPU ms": cpu.medianMs,
          ...ratios ? { "times the first": ratios.wall, "times the first, CPU": ratios.cpu } : {},
          "relative error": error,
        },
        note: `on the ${entry.on}`,
      });
    }
  }
  return { rows, failures };
}

/** A chart's sections: a bar per contestant, as long as its time. */
export function resultBars(results: readonly Result[]): { title: string; bars: Bar[] }[] {
  return results.map(({ work, outcomes }) => ({
    title: `${workName(work)}, ms`,
    bars: outcomes.flatMap((outcome) => {
      if (outcome.failure !== null) return [];
      const { wall: { medianMs }, contestant: { entry } } = outcome;
      const ratios = ratiosOf(outcome, outcomes[0]!);
      const label = entry.on === "CPU" ? `${entry.name} (no GPU interface)` : entry.name;
      return [{
        label,
        value: medianMs,
        text: digits(medianMs) + (ratios ? `, × ${digits(ratios.wall)}` : ""),
      }];
    }),
  })).filter(({ bars }) => bars.length > 0);
}

function ratiosOf(outcome: Outcome, first: Outcome): { wall: number; cpu: number } | null {
  if (outcome.failure !== null || first.failure !== null) return null;
  return {
    wall: outcome.wall.medianMs / first.wall.medianMs,
    cpu: outcome.cpu.medianMs / first.cpu.medianMs,
  };
}

function gflops(work: Work, ms: number): number {
  return workFlop(work) / ms / 1e6;
}

/** Three digits. */
function digits(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}
