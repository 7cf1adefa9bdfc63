import type { Gpu } from "../src/gpu/device.ts";
import type { Timing } from "./statistics.ts";

/** How fast work was done, from the median time, beside what the adapter can do. */
export interface Rate {
  readonly value: number;
  readonly unit: "GFLOP/s" | "GB/s";
  /** Part of the ceiling measured in the same run. Winograd's convolutions do less work than they are rated by. */
  readonly share: number;
}

/** One measurement. */
export interface Row {
  /** What was computed, with its sizes. */
  readonly name: string;
  /** By what: kernels with their constants, or a program; left out where the name says it. */
  readonly variant?: string;
  readonly timing: Timing;
  readonly rate?: Rate;
  /** Other numbers by their names with units: "GPU MiB". */
  readonly figures?: Readonly<Record<string, number>>;
  readonly note?: string;
}

/** What the adapter can do, measured in the same run. */
export interface Ceilings {
  /** Multiply-adds in registers, each two operations. */
  readonly gflops: number;
  /** A large copy, bytes read plus bytes written. */
  readonly gbps: number;
  /** How they were measured. */
  readonly rows: readonly Row[];
}

/** What a group is given. */
export interface Context {
  readonly gpu: Gpu;
  /** Few repeats and small shapes only: shows that everything works, not how fast it is. */
  readonly quick: boolean;
  readonly ceilings: Ceilings;
  /** Tells the user what is under way. */
  progress(what: string): void;
}

/** A set of measurements; a module of `bench/groups/` is one. */
export interface Group {
  readonly name: string;
  readonly description: string;
  run(context: Context): Promise<Row[]>;
}

/** A rate from an amount of work: floating-point operations if there are any, else bytes. */
export function rateOf(
  { flops, bytes }: { readonly flops: number; readonly bytes: number },
  { medianMs }: Timing,
  ceilings: Pick<Ceilings, "gflops" | "gbps">,
): Rate {
  const value = (flops || bytes) / medianMs / 1e6;
  return flops
    ? { value, unit: "GFLOP/s", share: value / ceilings.gflops }
    : { value, unit: "GB/s", share: value / ceilings.gbps };
}
