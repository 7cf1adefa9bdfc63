import { parseSchedulerConfig, type SchedulerConfig } from "../../src/checkpoint/scheduler_config.ts";
import { Scheduler } from "../../src/diffusion/scheduler.ts";
import { signal, weight } from "../generated.ts";
import { type Golden, tensorOf } from "../golden_file.ts";
import { schedulerStep } from "../reference/scheduler_step.ts";
import type { CaseRunner, Computed } from "./run.ts";

/** Runners by the index's `network`. */
export const scheduleRunners: Record<string, CaseRunner> = {
  generated: (_gpu, golden) => Promise.resolve(generated(golden)),
  scheduler: (_gpu, golden) => Promise.resolve(scheduler(golden)),
};

function generated(golden: Golden): Computed {
  const computed: Computed = new Map();
  for (const [name, { shape }] of golden.tensors) {
    const [, kind, seed, of] = name.match(/^(\w+)\.(\d+):(.+)$/)!;
    if (kind === "weight") computed.set(name, weight(of!, [...shape], Number(seed)));
    if (kind === "signal") {
      computed.set(
        name,
        of === "long" ? signal(of, [70001]).slice(-64) : signal(of!, [...shape], Number(seed)),
      );
    }
    if (kind === "raw") {
      // signal = fround(v · fround(1.7320508)) hides v; a weight of one value per row with fan-in 3 is v itself.
      const v = weight(of!, [shape[0]!, 3], Number(seed)).slice(0, shape[0]!);
      computed.set(name, v.map((x) => (x + 1) * 2 ** 23));
    }
  }
  return computed;
}

function scheduler(golden: Golden): Computed {
  const computed: Computed = new Map();
  const runs = golden.case.options?.["runs"] as Run[] | undefined;
  if (runs) {
    const [x, output, noise] = ["x", "output", "noise"].map((name) => tensorOf(golden, name).data);
    for (const { id, scheduler: kind, config, steps, index, eta } of runs) {
      const q = new Scheduler(parseSchedulerConfig({ _class_name: `${kind}Scheduler`, ...config }, id));
      const coefficients = q.step(q.timesteps(steps), index, { eta });
      const { prev, x0 } = schedulerStep(coefficients, { sample: x!, output: output!, noise: noise! });
      computed.set(`prev.${id}`, prev);
      computed.set(`x0.${id}`, x0);
    }
    return computed;
  }
  for (const name of golden.tensors.keys()) {
    const timesteps = name.match(/^(\w+)\.offset(\d)\.s(\d+)$/);
    if (timesteps) {
      const [, spacing, offset, steps] = timesteps;
      const q = new Scheduler(
        parseSchedulerConfig({ timestep_spacing: spacing, steps_offset: Number(offset) }, name),
      );
      computed.set(name, q.timesteps(Number(steps)));
    } else {
      const q = new Scheduler(parseSchedulerConfig({ beta_schedule: name.replace("f64.", "") }, name));
      computed.set(name, q.alphasCumprod);
    }
  }
  return computed;
}

interface Run {
  readonly id: string;
  readonly scheduler: "DDPM" | "DDIM";
  readonly config: Partial<SchedulerConfig>;
  readonly steps: number;
  readonly index: number;
  readonly eta: number;
}
