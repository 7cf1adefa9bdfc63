import type { Gpu } from "../gpu/device.ts";
import { LimitError } from "../gpu/errors.ts";
import { SCRATCH_BYTES } from "../kernels/winograd.ts";
import { formatByteSize } from "../text/byte_size.ts";
import {
  type ClipOutline,
  type KnownStages,
  type MemoryPlan,
  type MemorySettings,
  planMemory,
  type TextOutline,
} from "./memory_plan.ts";
import type { ModelOutline } from "./networks.ts";

/** How weights are stored: "auto" is f16 on GPUs, f32 on software adapters unless memory is short. */
export type Precision = "f32" | "f16" | "auto";

/** How much GPU memory there is, and what may be done to keep to it. */
export interface MemoryWishes {
  readonly precision: Precision;
  /** Bytes of GPU memory that may be allocated at a time; undefined for no limit. */
  readonly maxGpuMemory?: number | undefined;
  /** Whether frames may be decoded in tiles, which changes pixels. */
  readonly vaeTiling: boolean;
}

/** A memory plan that keeps to the limit, and how. */
export interface FittedPlan extends MemoryPlan {
  /** What `upscale()` will use. */
  readonly settings: MemorySettings;
  /** What was done to keep to the limit, in words and in this order; empty where nothing had to be. */
  readonly measures: readonly string[];
}

/** What is planned for. */
export interface FittedClip {
  readonly clip: ClipOutline;
  /** Sampling steps. */
  readonly steps: number;
  readonly text: TextOutline;
  readonly wishes: MemoryWishes;
}

/** The same, with what is computed on the way. */
interface Job extends FittedClip {
  readonly known: KnownStages;
}

/** A change of settings that saves memory. */
interface Measure {
  readonly change: Partial<MemorySettings>;
  /** Whether it helps where a single tensor is too large for the GPU, not only all together for a limit. */
  readonly shrinksTensors: boolean;
  readonly words: string;
}

const MIB = 2 ** 20;
/** Sides of tiles to try; smaller ones show as patches of different brightness. */
const TILES = [128, 96, 64, 48, 32];
/** Sizes tried when looking for the largest frame that fits. */
const SIZE_TRIALS = 8;

/** The settings without a limit. */
export function initialSettings(gpu: Gpu, { precision }: Pick<MemoryWishes, "precision">): MemorySettings {
  return {
    precision: precision === "auto" ? (gpu.facts.software ? "f32" : "f16") : precision,
    scratchBytes: SCRATCH_BYTES,
    keepDerived: true,
    tile: null,
  };
}

/**
 * The first plan that keeps to the limit, with as few measures as possible in a fixed order: smaller bands, no kept
 * filters, f16 weights (with precision "auto"), decoding in tiles (where allowed). The first two change no byte of the
 * result. What the GPU can bind and allocate at all is a limit like the other. Weights of a stage that is not running
 * are never held. Throws `LimitError` with what would fit if nothing does.
 */
export function fitMemory(gpu: Gpu, outline: ModelOutline, fitted: FittedClip): FittedPlan {
  const job = { ...fitted, known: new Map() };
  const plan = leastPlan(gpu, outline, job);
  if (keepsToLimit(plan, job.wishes)) return plan;
  throw refusal(gpu, outline, { job, plan });
}

/** The first plan that keeps to the limit, or the one with the lowest peak, or why this GPU can hold none. */
function leastPlan(gpu: Gpu, outline: ModelOutline, job: Job): FittedPlan | LimitError {
  const limit = job.wishes.maxGpuMemory ?? Infinity;
  const initial = initialSettings(gpu, job.wishes), all = measures(initial, job.wishes);
  const first = firstPossible(gpu, outline, { job, initial, all });
  if (first instanceof LimitError) return first;
  let { plan, settings } = first;
  for (const change of attempts(all)) {
    if (plan.peakBytes <= limit) break;
    const changed = { ...settings, ...change };
    const candidate = tryPlan(gpu, outline, { ...job, settings: changed });
    if (candidate instanceof LimitError || candidate.peakBytes >= plan.peakBytes) continue;
    settings = changed;
    plan = candidate;
  }
  const taken = all.filter(({ change }) => isIn(settings, change) && !isIn(initial, change));
  return { ...plan, settings, measures: taken.map(({ words }) => words) };
}

/** The plan with the initial settings, or with as few measures as make it possible, or why none does. */
function firstPossible(
  gpu: Gpu,
  outline: ModelOutline,
  { job, initial, all }: {
    readonly job: Job;
    readonly initial: MemorySettings;
    readonly all: readonly Measure[];
  },
): { plan: MemoryPlan; settings: MemorySettings } | LimitError {
  const failures: LimitError[] = [];
  for (const change of [{}, ...attempts(all.filter(({ shrinksTensors }) => shrinksTensors))]) {
    const settings = { ...initial, ...change };
    const plan = tryPlan(gpu, outline, { ...job, settings });
    if (!(plan instanceof LimitError)) return { plan, settings };
    failures.push(plan);
  }
  return failures[0]!;
}

/** A plan, or why this GPU cannot hold what it would take. */
function tryPlan(
  gpu: Gpu,
  outline: ModelOutline,
  job: Parameters<typeof planMemory>[2],
): MemoryPlan | LimitError {
  try {
    return planMemory(gpu, outline, job);
  } catch (error) {
    if (error instanceof LimitError) return error;
    throw error;
  }
}

function keepsToLimit<P extends MemoryPlan>(
  plan: P | LimitError,
  { maxGpuMemory = Infinity }: MemoryWishes,
): plan is P {
  return !(plan instanceof LimitError) && plan.peakBytes <= maxGpuMemory;
}

function measures({ precision }: MemorySettings, wishes: MemoryWishes): Measure[] {
  // Scratch tensors and kept filters are smaller than what any GPU must bind and allocate.
  const exact = wishes.maxGpuMemory === undefined ? [] : [
    ...[32, 16, 8, 4].map((mib) => ({
      change: { scratchBytes: mib * MIB },
      words: `bands of ${mib} MiB`,
    })),
    { change: { keepDerived: false }, words: "transformed filters computed anew each time" },
  ];
  const inexact = [
    ...wishes.precision === "auto" && precision === "f32"
      ? [{ change: { precision: "f16" as const }, words: "f16 weights" }]
      : [],
    ...wishes.vaeTiling
      ? TILES.map((tile) => ({ change: { tile }, words: `decoding in tiles of ${4 * tile} pixels` }))
      : [],
  ];
  return [
    ...exact.map((measure) => ({ ...measure, shrinksTensors: false })),
    ...inexact.map((measure) => ({ ...measure, shrinksTensors: true })),
  ];
}

/** What to try, one after the other: each measure, and all at once, because some help only together. */
function attempts(all: readonly Measure[]): Partial<MemorySettings>[] {
  return [...all.map(({ change }) => change), ...all.length > 1 ? [changeOfAll(all)] : []];
}

/** All measures, each as far as it goes. */
function changeOfAll(all: readonly Measure[]): Partial<MemorySettings> {
  return Object.assign({}, ...all.map(({ change }) => change));
}

function isIn(settings: MemorySettings, change: Partial<MemorySettings>): boolean {
  return Object.entries(change).every(([key, value]) => settings[key as keyof MemorySettings] === value);
}

/** The error: need, limit, and what would fit. */
function refusal(
  gpu: Gpu,
  outline: ModelOutline,
  { job, plan }: { readonly job: Job; readonly plan: FittedPlan | LimitError },
): LimitError {
  const { clip: { width, height, bitDepths: { length } }, wishes } = job;
  const flags = flagsThatFit(gpu, outline, job);
  const size = flags === null ? sizeThatFits(gpu, outline, job) : null;
  const remedies = [
    ...flags === null ? [] : [`pass ${flags}`],
    ...size === null ? [] : [`use frames of at most ${size}`],
  ];
  if (plan instanceof LimitError) {
    return remedies.length === 0
      ? plan
      : new LimitError(`${plan.message}. ${sentence(remedies)}`, { cause: plan });
  }
  const need = formatByteSize(plan.peakBytes);
  const { stage } = plan.stages.find(({ total }) => total === plan.peakBytes)!;
  return new LimitError(
    `Cannot upscale ${length} ${length === 1 ? "frame" : "frames"} of ${width} x ${height} within ${
      formatByteSize(wishes.maxGpuMemory!)
    } of GPU memory: stage "${stage}" needs ${need} after all measures that are allowed. ${
      sentence([...remedies, `allow ${need.replace(" ", "")} with --max-gpu-memory`])
    }`,
  );
}

/** Alternatives as a sentence without its full stop. */
function sentence(alternatives: readonly string[]): string {
  const text = alternatives.join(", or ");
  return `${text[0]!.toUpperCase()}${text.slice(1)}`;
}

/** The flags that would allow measures enough; null if none would. */
function flagsThatFit(gpu: Gpu, outline: ModelOutline, job: Job): string | null {
  const { wishes } = job;
  const precision = wishes.precision === "f32" ? { "--precision auto": { precision: "auto" as const } } : {};
  const tiling = wishes.vaeTiling ? {} : { "--vae-tiling": { vaeTiling: true } };
  const flags = Object.entries({ ...precision, ...tiling });
  const both = flags.length < 2 ? [] : [flags];
  for (const set of [...flags.map((flag) => [flag]), ...both]) {
    const allowed = set.reduce((all, [, change]) => ({ ...all, ...change }), wishes);
    const plan = leastPlan(gpu, outline, { ...job, wishes: allowed });
    if (keepsToLimit(plan, wishes)) return set.map(([flag]) => flag).join(" ");
  }
  return null;
}

/** The largest frames of the same shape that would fit with all measures, about; null if none would. */
function sizeThatFits(gpu: Gpu, outline: ModelOutline, job: Job): string | null {
  const { clip, wishes } = job, initial = initialSettings(gpu, wishes);
  const settings = { ...initial, ...changeOfAll(measures(initial, wishes)) };
  let largest: ClipOutline | null = null, least = 0, most = 1;
  for (let i = 0; i < SIZE_TRIALS; i++) {
    const factor = (least + most) / 2;
    const [height, width] = [clip.height, clip.width].map((side) => Math.max(1, Math.floor(factor * side)));
    const smaller = { ...clip, height: height!, width: width! };
    if (keepsToLimit(tryPlan(gpu, outline, { ...job, clip: smaller, settings }), wishes)) {
      largest = smaller;
      least = factor;
    } else {
      most = factor;
    }
  }
  return largest && `${largest.width} x ${largest.height}`;
}
