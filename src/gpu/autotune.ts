import { createHash } from "node:crypto";
import type { Gpu, Tuning } from "./device.ts";
import { GpuError } from "./errors.ts";
import { type Constants, type Kernel, variantName } from "./kernel.ts";
import type { PlanNode } from "./plan.ts";

/** One of several ways to compute the same dispatch; all give the same bytes. */
export interface Variant {
  readonly kernel: Kernel;
  readonly constants: Constants;
  /** Number of workgroups in x, y, z. */
  readonly workgroups: readonly [number, number, number];
}

/** A dispatch whose variants are to be compared. */
export interface Contest {
  /** Kernel and shape: what the answer is remembered by. */
  readonly key: string;
  /** At least one that can be dispatched. The first of these stays unless another is clearly faster. */
  readonly variants: readonly Variant[];
  /** Multiply-adds of the dispatch: what its time is predicted by. */
  readonly work: number;
  /** Multiply-adds of all dispatches that the answer serves: the largest are compared first. */
  readonly totalWork: number;
  /** Compiles and binds a variant. */
  readonly prepare: (variant: Variant) => Promise<PlanNode>;
}

/** What measuring needs besides the contests. */
export interface ContestControl {
  readonly tuning: Tuning;
  /** Runs dispatches in order and returns the time of each in milliseconds. */
  readonly time: (nodes: readonly PlanNode[]) => Promise<number[]>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** Each variant is timed so many times, and the shortest time counts. */
const RUNS = 3;
/** Part of the first variant's time that another must stay below: less is noise. */
const CLEARLY = 0.97;
/** Expected time of what is submitted at once: few waits, and none so long that drivers abort the work. */
const BATCH_MS = 200;

/** Whether WebGPU takes a dispatch of so many workgroups. */
export function isDispatchable(workgroups: readonly [number, number, number]): boolean {
  return workgroups.every((n) => Number.isInteger(n) && n >= 1 && n <= 65535);
}

/** The variant that was the fastest when exactly these were compared, or null if that is not known. */
export function knownVariant(tuning: Tuning, key: string, variants: readonly Variant[]): Variant | null {
  const answer = tuning.answers.get(key);
  if (answer?.among !== digest(variants)) return null;
  return variants.find((variant) => nameOf(variant) === answer.variant) ?? null;
}

/**
 * Compares the variants of each contest, the one with most work first, and adds the answers to `tuning`. What its
 * budget does not suffice for, as far as this can be foreseen, gets none, and neither does what the clock of the GPU
 * cannot tell apart from nothing. Nothing stays queued.
 */
export async function compareVariants(
  contests: readonly Contest[],
  { tuning, time, now }: ContestControl,
): Promise<void> {
  const end = now() + tuning.budgetMs;
  const ordered = contests.toSorted((a, b) => b.totalWork - a.totalWork);
  const largest = ordered[0];
  if (!largest) return;
  const first = await largest.prepare(usable(largest)[0]!);
  const msPerWork = Math.min(...await time([first, first])) / largest.work; // the first time around is slower

  let batch: Entry[] = [], batchMs = 0;
  async function runBatch(): Promise<void> {
    const entries = batch;
    batch = [], batchMs = 0;
    const durations = await time(Array.from({ length: RUNS }, () => entries.map(({ node }) => node)).flat());
    durations.forEach((ms, i) => entries[i % entries.length]!.durations.push(ms));
    for (const [contest, rivals] of Map.groupBy(entries, ({ contest }) => contest)) {
      const fastest = fastestOf(rivals);
      const among = digest(contest.variants);
      if (fastest) tuning.answers.set(contest.key, { variant: nameOf(fastest), among });
    }
  }

  for (const contest of ordered) {
    const expectedMs = RUNS * usable(contest).length * contest.work * msPerWork;
    if (!(now() + batchMs + expectedMs <= end)) continue; // smaller ones may still fit
    const entries = await prepareEntries(contest, () => now() < end);
    if (!entries) break;
    batch.push(...entries);
    batchMs += expectedMs;
    if (batchMs >= BATCH_MS) await runBatch();
  }
  if (batch.length > 0) await runBatch();
}

function usable({ variants }: Contest): Variant[] {
  return variants.filter(({ workgroups }) => isDispatchable(workgroups));
}

interface Entry {
  readonly contest: Contest;
  readonly variant: Variant;
  readonly node: PlanNode;
  readonly durations: number[];
}

/** Compiling takes time as well: null as soon as there is none left. A variant that the driver refuses drops out. */
async function prepareEntries(contest: Contest, hasTime: () => boolean): Promise<Entry[] | null> {
  const entries: Entry[] = [];
  for (const variant of usable(contest)) {
    if (!hasTime()) return null;
    try {
      entries.push({ contest, variant, node: await contest.prepare(variant), durations: [] });
    } catch (error) {
      if (!(error instanceof GpuError) || error.kind === "lost") throw error;
    }
  }
  return entries;
}

function fastestOf(rivals: readonly Entry[]): Variant | null {
  const shortest = rivals.map(({ durations }) => Math.min(...durations));
  if (!shortest.every((ms) => ms > 0)) return null;
  const best = shortest.indexOf(Math.min(...shortest));
  return rivals[shortest[best]! < CLEARLY * shortest[0]! ? best : 0]!.variant;
}

/** Zeros, as new buffers hold, would let kernels look faster than they are with pictures. */
export function fillWithNumbers(gpu: Gpu, buffers: readonly GPUBuffer[]): void {
  const numbers = Float32Array.from({ length: 2 ** 18 }, (_, i) => Math.cos(i));
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const source = gpu.createBuffer(numbers.byteLength, usage, "numbers");
  gpu.device.queue.writeBuffer(source, 0, numbers);
  gpu.submit((encoder) => {
    for (const buffer of buffers) {
      for (let at = 0; at < buffer.size; at += source.size) {
        encoder.copyBufferToBuffer(source, 0, buffer, at, Math.min(source.size, buffer.size - at));
      }
    }
  });
  source.destroy();
}

function nameOf({ kernel, constants }: Variant): string {
  return variantName(kernel, constants);
}

/** Changes with the list of variants and with the text of their shaders. */
function digest(variants: readonly Variant[]): string {
  const hash = createHash("sha256");
  for (const variant of variants) hash.update(`${nameOf(variant)} ${variant.kernel.digest}\n`);
  return hash.digest("hex").slice(0, 16);
}
