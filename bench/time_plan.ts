import type { Gpu } from "../src/gpu/device.ts";
import { encodeNode, type Plan } from "../src/gpu/plan.ts";
import { summarise, type Timing } from "./statistics.ts";

/** A measurement shorter than this is made of several replays in a row: timestamps are coarse. */
const LEAST_MS = 1;
const MAX_REPLAYS = 100;
/** Measurements are made for about this long. */
const BUDGET_MS = 2000;
const REPEATS = { quick: 3, least: 3, most: 20 };

/**
 * GPU time of a plan that ran before, from the start of its first dispatch to the end of its last one. One more replay
 * warms up and decides how often to measure. Needs the feature "timestamp-query".
 */
export async function timePlan(
  gpu: Gpu,
  plan: Plan,
  { quick }: { readonly quick: boolean },
): Promise<Timing> {
  if (!gpu.facts.timestamps) {
    throw new TypeError(`Cannot time kernels on "${gpu.facts.description}": it has no timestamp queries`);
  }
  const [onceMs = 0] = await measure(gpu, plan, { replays: 1, repeats: 1 });
  const replays = Math.min(MAX_REPLAYS, Math.max(1, Math.ceil(LEAST_MS / Math.max(onceMs, 1e-3))));
  const affordable = Math.floor(BUDGET_MS / (replays * onceMs));
  const repeats = quick ? REPEATS.quick : Math.min(REPEATS.most, Math.max(REPEATS.least, affordable));
  return summarise(await measure(gpu, plan, { replays, repeats }));
}

/** Milliseconds per replay, `repeats` times. All are submitted before the only wait: the GPU keeps its clocks up. */
async function measure(
  gpu: Gpu,
  plan: Plan,
  { replays, repeats }: { readonly replays: number; readonly repeats: number },
): Promise<number[]> {
  const count = 2 * repeats;
  const querySet = gpu.device.createQuerySet({ type: "timestamp", count });
  const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
  const resolved = gpu.createBuffer(8 * count, usage, "timestamps");
  for (let i = 0; i < repeats; i++) {
    gpu.submit((encoder) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      for (let replay = 0; replay < replays; replay++) {
        for (const node of plan.nodes) encodeNode(pass, node);
      }
      pass.end();
    });
  }
  gpu.submit((encoder) => encoder.resolveQuerySet(querySet, 0, count, resolved, 0));
  const stamps = new BigUint64Array(await gpu.readBuffer(resolved, { byteLength: 8 * count }));
  querySet.destroy();
  resolved.destroy();
  return Array.from(
    { length: repeats },
    (_, i) => Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6 / replays,
  );
}
