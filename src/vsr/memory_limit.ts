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
  /** What it is called; a later measure of the same name replaces an earlier one. */
  readonly name: string;
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
 * result. Weights of a stage that is not running are never held. Throws `LimitError` with what would fit if nothing
 * does, or if the frames are too large for this GPU whatever the limit.
 */
export function fitMemory(gpu: Gpu, outline: ModelOutline, fitted: FittedClip): FittedPlan {
  const job = { ...fitted, known: new Map() };
  const limit = job.wishes.maxGpuMemory ?? Infinity;
  let plan: FittedPlan;
  try {
    plan = leastPlan(gpu, outline, job);
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
    const size = sizeThatFits(gpu, outline, { job, settings: initialSettings(gpu, job.wishes), limit });
    throw size === null
      ? error
      : new LimitError(`${error.message}. Use frames of at most ${size}`, { cause: error });
  }
  if (plan.peakBytes <= limit) return plan;
  throw new LimitError(refusal(gpu, outline, { job, plan, limit }));
}

/** The first plan that keeps to the limit, or the one with the lowest peak. */
function leastPlan(gpu: Gpu, outline: ModelOutline, { wishes, ...job }: Job): FittedPlan {
  const { maxGpuMemory: limit = Infinity } = wishes;
  let settings = initialSettings(gpu, wishes);
  let plan = planMemory(gpu, outline, { ...job, settings });
  const taken = new Map<string, string>();
  for (const { change, name, words } of measures(settings, wishes)) {
    if (plan.peakBytes <= limit) break;
    const changed = { ...settings, ...change };
    const candidate = planMemory(gpu, outline, { ...job, settings: changed });
    if (candidate.peakBytes >= plan.peakBytes) continue;
    settings = changed;
    plan = candidate;
    taken.set(name, words);
  }
  return { ...plan, settings, measures: [...taken.values()] };
}

function measures({ precision }: MemorySettings, wishes: MemoryWishes): Measure[] {
  return [
    ...[32, 16, 8, 4].map((mib) => ({
      change: { scratchBytes: mib * MIB },
      name: "bands",
      words: `bands of ${mib} MiB`,
    })),
    { change: { keepDerived: false }, name: "filters", words: "transformed filters computed anew each time" },
    ...wishes.precision === "auto" && precision === "f32"
      ? [{ change: { precision: "f16" as const }, name: "precision", words: "f16 weights" }]
      : [],
    ...wishes.vaeTiling
      ? TILES.map((tile) => ({
        change: { tile },
        name: "tiles",
        words: `decoding in tiles of ${4 * tile} pixels`,
      }))
      : [],
  ];
}

/** The message of the error: need, limit, and what would fit. */
function refusal(
  gpu: Gpu,
  outline: ModelOutline,
  { job, plan, limit }: { readonly job: Job; readonly plan: FittedPlan; readonly limit: number },
): string {
  const { width, height, bitDepths: { length } } = job.clip;
  const need = formatByteSize(plan.peakBytes);
  const { stage } = plan.stages.find(({ total }) => total === plan.peakBytes)!;
  const flags = flagsThatFit(gpu, outline, job);
  const size = flags === null ? sizeThatFits(gpu, outline, { job, limit, ...plan }) : null;
  const remedies = [
    ...flags === null ? [] : [`pass ${flags}`],
    ...size === null ? [] : [`use frames of at most ${size}`],
    `allow ${need.replace(" ", "")} with --max-gpu-memory`,
  ].join(", or ");
  return `Cannot upscale ${length} ${length === 1 ? "frame" : "frames"} of ${width} x ${height} within ${
    formatByteSize(limit)
  } of GPU memory: stage "${stage}" needs ${need} after all measures that are allowed. ` +
    `${remedies[0]!.toUpperCase()}${remedies.slice(1)}`;
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
    const { peakBytes } = leastPlan(gpu, outline, { ...job, wishes: allowed });
    if (peakBytes <= wishes.maxGpuMemory!) return set.map(([flag]) => flag).join(" ");
  }
  return null;
}

/** The largest frames of the same shape that would fit, about; null if none would. */
function sizeThatFits(
  gpu: Gpu,
  outline: ModelOutline,
  { job: { clip, steps, text }, settings, limit }: {
    readonly job: Job;
    readonly settings: MemorySettings;
    readonly limit: number;
  },
): string | null {
  let largest: ClipOutline | null = null, least = 0, most = 1;
  for (let i = 0; i < SIZE_TRIALS; i++) {
    const factor = (least + most) / 2;
    const [height, width] = [clip.height, clip.width].map((side) => Math.max(1, Math.floor(factor * side)));
    const smaller = { ...clip, height: height!, width: width! };
    if (fits(gpu, outline, { clip: smaller, steps, text, settings, limit })) {
      largest = smaller;
      least = factor;
    } else {
      most = factor;
    }
  }
  return largest && `${largest.width} x ${largest.height}`;
}

/** Whether a job keeps to a limit, and its frames to what this GPU can bind and allocate at all. */
function fits(
  gpu: Gpu,
  outline: ModelOutline,
  { limit, ...job }: {
    readonly clip: ClipOutline;
    readonly steps: number;
    readonly text: TextOutline;
    readonly settings: MemorySettings;
    readonly limit: number;
  },
): boolean {
  try {
    return planMemory(gpu, outline, job).peakBytes <= limit;
  } catch (error) {
    if (error instanceof LimitError) return false;
    throw error;
  }
}
