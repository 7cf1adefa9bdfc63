import type { Gpu } from "./device.ts";
import { encodeNode, type Plan, type PlanNode } from "./plan.ts";

/** GPU time of one dispatch. */
export interface NodeTime {
  readonly label: string;
  readonly kernel: string;
  readonly durationMs: number;
}

// WebGPU allows 4096 queries per set; each dispatch takes two.
const NODES_PER_SET = 2048;

/** Replays a plan once and times each dispatch. Needs the feature "timestamp-query". */
export async function profile(gpu: Gpu, plan: Plan): Promise<NodeTime[]> {
  const durations = await timeNodes(gpu, plan.nodes);
  return plan.nodes.map(({ label, kernel }, i) => ({ label, kernel, durationMs: durations[i]! }));
}

/**
 * Runs dispatches in order, each in a compute pass with two timestamps, and returns their times in milliseconds. Needs
 * the feature "timestamp-query".
 */
export async function timeNodes(gpu: Gpu, all: readonly PlanNode[]): Promise<number[]> {
  if (!gpu.facts.timestamps) {
    throw new TypeError(`Cannot profile on "${gpu.facts.description}": it has no timestamp queries`);
  }
  const durations: number[] = [];
  for (let start = 0; start < all.length; start += NODES_PER_SET) {
    const nodes = all.slice(start, start + NODES_PER_SET);
    const count = 2 * nodes.length;
    using owned = new DisposableStack();
    const querySet = owned.adopt(
      gpu.device.createQuerySet({ type: "timestamp", count }),
      (set) => set.destroy(),
    );
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const resolved = owned.adopt(
      gpu.createBuffer(8 * count, usage, "timestamps"),
      (buffer) => buffer.destroy(),
    );
    gpu.submit((encoder) => {
      nodes.forEach((node, i) => {
        const timestampWrites = {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        };
        const pass = encoder.beginComputePass({ timestampWrites });
        encodeNode(pass, node);
        pass.end();
      });
      encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    }, "time dispatches");
    const stamps = new BigUint64Array(await gpu.readBuffer(resolved, { byteLength: 8 * count }));
    nodes.forEach((_, i) => durations.push(Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6));
  }
  return durations;
}

/** Sums times by kernel variant, slowest first. */
export function timesByKernel(
  times: readonly NodeTime[],
): { kernel: string; count: number; durationMs: number }[] {
  const sums = new Map<string, { kernel: string; count: number; durationMs: number }>();
  for (const { kernel, durationMs } of times) {
    const sum = sums.get(kernel) ?? { kernel, count: 0, durationMs: 0 };
    sums.set(kernel, { kernel, count: sum.count + 1, durationMs: sum.durationMs + durationMs });
  }
  return [...sums.values()].sort((a, b) => b.durationMs - a.durationMs);
}
