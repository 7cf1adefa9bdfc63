import { createHash } from "node:crypto";
import { join } from "node:path";
import * as v from "valibot";
import type { AdapterFacts, Tuning, TuningAnswer } from "../gpu/device.ts";
import { NoAdapterError } from "../gpu/errors.ts";
import { writeFileAtomically } from "../media/write_file_atomically.ts";

/** How the fastest of several kernels is found; whichever it is, the bytes of the frames are the same. */
export interface TuningOptions {
  /**
   * "off" takes the kernels that are expected to be the fastest. "auto" takes those that were measured to be it, and
   * measures what is not known yet if the adapter is hardware that can time its work. "force" measures all anew, longer
   * and on software adapters too. Default "auto".
   */
  readonly mode?: "auto" | "off" | "force" | undefined;
  /** Folder for one JSON file per adapter, made if need be. Without it what was measured is forgotten at the end. */
  readonly cacheFolder?: string | undefined;
  /** Called with the reason when the file cannot be written; without it nobody hears of that. */
  readonly onCacheError?: ((error: Error) => void) | undefined;
}

/** Time that measuring may add to each of the five or so plans of a clip, about. */
const BUDGET_MS = { off: 0, auto: 1500, force: 10_000 };

const CACHE_FILE = v.strictObject({
  adapter: v.record(v.string(), v.union([v.string(), v.number()])),
  answers: v.record(v.string(), v.strictObject({ variant: v.string(), among: v.string() })),
});

/**
 * What is known at the beginning. A cache file that is damaged, another adapter's or out of reach counts as empty.
 * Throws `NoAdapterError` where measuring is forced on an adapter that cannot time its work.
 */
export async function openTuning(facts: AdapterFacts, options: TuningOptions): Promise<Tuning> {
  const { mode = "auto", cacheFolder } = options;
  if (mode === "force" && !facts.timestamps) {
    throw new NoAdapterError(
      `Cannot force tuning on "${facts.description}": it has no timestamp queries. Choose tuning "auto" or "off"`,
    );
  }
  const measures = mode === "force" || (facts.timestamps && !facts.software);
  const known = mode === "auto" && cacheFolder !== undefined ? await readAnswers(cacheFolder, facts) : [];
  return { answers: new Map(known), budgetMs: measures ? BUDGET_MS[mode] : 0 };
}

/** Adds to the cache file what it does not have. */
export async function keepTuning(
  { answers }: Tuning,
  { facts, options }: { readonly facts: AdapterFacts; readonly options: TuningOptions },
): Promise<void> {
  const { cacheFolder, onCacheError } = options;
  if (cacheFolder === undefined || answers.size === 0) return;
  // Read again: another process may have added to it meanwhile.
  const kept = await readAnswers(cacheFolder, facts);
  const merged = new Map([...kept, ...answers]);
  if (JSON.stringify([...merged]) === JSON.stringify([...kept])) return;
  const file = { adapter: identity(facts), answers: Object.fromEntries(merged) };
  try {
    await Deno.mkdir(cacheFolder, { recursive: true });
    const bytes = new TextEncoder().encode(`${JSON.stringify(file, null, 2)}\n`);
    await writeFileAtomically(cachePath(cacheFolder, facts), bytes);
  } catch (error) {
    onCacheError?.(error as Error);
  }
}

async function readAnswers(folder: string, facts: AdapterFacts): Promise<Map<string, TuningAnswer>> {
  try {
    const file = v.parse(CACHE_FILE, JSON.parse(await Deno.readTextFile(cachePath(folder, facts))));
    const isOurs = JSON.stringify(file.adapter) === JSON.stringify(identity(facts));
    return new Map(isOurs ? Object.entries(file.answers) : []);
  } catch {
    return new Map(); // Whatever is wrong with it, measuring anew replaces it.
  }
}

function cachePath(folder: string, facts: AdapterFacts): string {
  const hash = createHash("sha256").update(JSON.stringify(identity(facts))).digest("hex");
  return join(folder, `tuning-${hash.slice(0, 16)}.json`);
}

/** What may change which kernel is the fastest. WebGPU does not tell a driver's version unless it is in the description. */
function identity({ description, vendor, architecture, subgroupSize }: AdapterFacts) {
  return {
    description,
    vendor,
    architecture,
    subgroupSize,
    deno: Deno.version.deno,
    platform: Deno.build.target,
  };
}
