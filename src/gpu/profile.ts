import type { Gpu } from "./device.ts";
import { encodeNode, type Plan } from "./plan.ts";

/** GPU time of one dispatch. */
export interface NodeTime {
  readonly label: string;
  readonly kernel: string;
  readonly durationMs: number;
}

// WebGPU allows 4096 queries per set; each dispatch takes two.
const NODES_PER_SET = 2048;

/** Replays a plan once with a compute pass and two timestamps per dispatch. Needs the feature "timestamp-query". */
export async function profile(gpu: Gpu, plan: Plan): Promise<NodeTime[]> {
  if (!gpu.facts.timestamps) {
    throw new TypeError(`Cannot profile on "${gpu.facts.description}": it has no timestamp queries`);
  }
  const times: NodeTime[] = [];
  for (let start = 0; start < plan.nodes.length; start += NODES_PER_SET) {
    const nodes = plan.nodes.slice(start, start + NODES_PER_SET);
    const count = 2 * nodes.length;
    const querySet = gpu.device.createQuerySet({ type: "timestamp", count });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const resolved = gpu.createBuffer(8 * count, usage, "timestamps");
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
    });
    const stamps = new BigUint64Array(await gpu.readBuffer(resolved, 0, 8 * count));
    nodes.forEach(({ label, kernel }, i) => {
      times.push({ label, kernel, durationMs: Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6 });
    });
    querySet.destroy();
    resolved.destroy();
  }
  return times;
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
