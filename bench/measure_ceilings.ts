import type { Gpu } from "../src/gpu/device.ts";
import { type Constants, defineKernel, type Kernel } from "../src/gpu/kernel.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { assertAllClose, TOLERANCE } from "../tests/_assert.ts";
import { signal } from "../tests/generated.ts";
import type { Ceilings, Row } from "./group.ts";
import type { Timing } from "./statistics.ts";
import { timePlan } from "./time_plan.ts";
import copySource from "./wgsl/peak_copy.wgsl" with { type: "text" };
import fmaSource from "./wgsl/peak_fma.wgsl" with { type: "text" };

const WORKGROUP = 64;
const STEPS = 8, PASSES = 32;
/** More chains hide more latency and take more registers: which is best depends on the adapter. */
const CHAINS = [2, 4, 8, 16];
const INVOCATIONS = 2 ** 18;
const RUN = 4;

const fmaKernel: Kernel = defineKernel({
  name: "peak_fma",
  source: fmaSource,
  bindings: { x: "read", y: "write" },
  params: {},
});

const copyKernel: Kernel = defineKernel({
  name: "peak_copy",
  source: copySource,
  bindings: { x: "read", y: "write" },
  params: {},
});

/**
 * Measures what the adapter can do at most: multiply-adds in registers, and a copy larger than any cache. The best
 * time counts, for a ceiling is not a typical value. Throws where a result is wrong, before anything is timed.
 */
export async function measureCeilings(gpu: Gpu, quick: boolean): Promise<Ceilings> {
  const rows: Row[] = [];
  for (const chains of quick ? [4] : CHAINS) rows.push(await measureArithmetic(gpu, { chains, quick }));
  rows.push(await measureCopy(gpu, quick));
  const best = (unit: string) => Math.max(...rows.map(({ rate }) => rate?.unit === unit ? rate.value : 0));
  const gflops = best("GFLOP/s"), gbps = best("GB/s");
  return {
    gflops,
    gbps,
    rows: rows.map((row) => {
      const { value, unit } = row.rate!;
      return { ...row, rate: { value, unit, share: value / (unit === "GB/s" ? gbps : gflops) } };
    }),
  };
}

async function measureArithmetic(
  gpu: Gpu,
  { chains, quick }: { readonly chains: number; readonly quick: boolean },
): Promise<Row> {
  const factor = [-0.999, 0.998, -0.997, 0.996], addend = [0.3, -0.7, 0.5, 0.9];
  const expected = factor.map((f, c) => chainSum(f, addend[c]!, chains));
  const timing = await checkAndTime(gpu, fmaKernel, {
    x: gpu.tensor([2, 4], "factor and addend", Float32Array.from([...factor, ...addend])),
    shape: [INVOCATIONS, 4],
    workgroups: INVOCATIONS / WORKGROUP,
    constants: { CHAINS: chains },
    check: (y) => assertAllClose(y.slice(-4), expected, TOLERANCE.f32),
    quick,
  });
  const flops = 2 * 4 * chains * STEPS * PASSES * INVOCATIONS;
  return {
    name: `multiply-adds in registers, ${chains} chains`,
    variant: `peak_fma[CHAINS=${chains}]`,
    timing,
    rate: { value: flops / timing.minMs / 1e6, unit: "GFLOP/s", share: 1 },
    note: "from the best time",
  };
}

function chainSum(factor: number, addend: number, chains: number): number {
  let sum = 0;
  for (let i = 0; i < chains; i++) {
    let value = i;
    for (let n = 0; n < STEPS * PASSES; n++) value = value * Math.fround(factor) + Math.fround(addend);
    sum += value;
  }
  return sum;
}

async function measureCopy(gpu: Gpu, quick: boolean): Promise<Row> {
  const most = Math.min(gpu.facts.maxBindingBytes, 16 * 65_535 * WORKGROUP * RUN);
  const bytes = Math.min(quick ? 2 ** 24 : 2 ** 28, 2 ** Math.floor(Math.log2(most)));
  const shape = [bytes / 16, 4];
  const data = signal("copy", shape);
  const timing = await checkAndTime(gpu, copyKernel, {
    x: gpu.tensor(shape, "copied", data),
    shape,
    workgroups: bytes / 16 / WORKGROUP / RUN,
    constants: { RUN },
    check: (y) => assertAllClose(y.slice(-64), data.slice(-64)),
    quick,
  });
  return {
    name: `copy of ${bytes / 2 ** 20} MiB`,
    variant: `peak_copy[RUN=${RUN}]`,
    timing,
    rate: { value: 2 * bytes / timing.minMs / 1e6, unit: "GB/s", share: 1 },
    note: "from the best time",
  };
}

async function checkAndTime(
  gpu: Gpu,
  kernel: Kernel,
  options: {
    readonly x: Tensor;
    /** Of the output. */
    readonly shape: readonly number[];
    readonly workgroups: number;
    readonly constants: Constants;
    readonly check: (y: Float32Array) => void;
    readonly quick: boolean;
  },
): Promise<Timing> {
  const { x, shape, workgroups, constants, check, quick } = options;
  const rec = new Recorder(gpu);
  const y = rec.tensor(shape, kernel.name);
  const dispatch = { bindings: { x, y }, params: {}, constants, label: kernel.name };
  rec.run(kernel, { ...dispatch, workgroups: [workgroups, 1, 1] });
  using plan = await rec.finish([y]);
  try {
    plan.poison(gpu);
    gpu.submit((encoder) => plan.encode(encoder));
    check(await gpu.read(y));
    return await timePlan(gpu, plan, { quick });
  } finally {
    gpu.free(x);
  }
}
