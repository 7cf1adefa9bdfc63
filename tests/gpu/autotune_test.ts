import assert from "node:assert/strict";
import {
  compareVariants,
  type Contest,
  isDispatchable,
  knownVariant,
  type Variant,
} from "../../src/gpu/autotune.ts";
import type { Gpu, Tuning } from "../../src/gpu/device.ts";
import { GpuError } from "../../src/gpu/errors.ts";
import { type Constants, defineKernel } from "../../src/gpu/kernel.ts";
import type { PlanNode } from "../../src/gpu/plan.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { gpuTest } from "../_gpu_test.ts";
import { recordScale, scaleKernel } from "./_scale_kernel.ts";

/** Variants of the constant WORKGROUP; each is one workgroup. */
function variants(...workgroups: number[]): Variant[] {
  return workgroups.map((WORKGROUP) => ({
    kernel: scaleKernel,
    constants: { WORKGROUP },
    workgroups: [1, 1, 1],
  }));
}

function openTuning(budgetMs: number): Tuning {
  return { answers: new Map(), budgetMs };
}

function chosen(tuning: Tuning, key: string, among: readonly Variant[]): Constants | undefined {
  return knownVariant(tuning, key, among)?.constants;
}

/** A GPU with a clock: a dispatch takes the milliseconds of its label, compiling `compileMs`. */
class FakeGpu {
  clock = 1000;
  readonly compileMs: number;
  /** Labels of the dispatches of each submission. */
  readonly submissions: string[][] = [];

  constructor({ compileMs = 0 } = {}) {
    this.compileMs = compileMs;
  }

  /** A contest of variants that take `times`, in milliseconds. */
  contest(key: string, times: readonly number[], work = Math.max(1, times[0]!)): Contest {
    const among = variants(...times.map((_, i) => i + 1));
    const prepare = (variant: Variant) => {
      this.clock += this.compileMs;
      const label = String(times[among.indexOf(variant)]);
      return Promise.resolve({ label, kernel: key } as PlanNode);
    };
    return { key, variants: among, work, totalWork: work, prepare };
  }

  async compare(contests: readonly Contest[], tuning: Tuning): Promise<void> {
    await compareVariants(contests, {
      tuning,
      now: () => this.clock,
      time: (nodes) => {
        this.submissions.push(nodes.map(({ label }) => label));
        const durations = nodes.map(({ label }) => Number(label));
        for (const ms of durations) this.clock += Math.max(0, ms);
        return Promise.resolve(durations);
      },
    });
  }
}

Deno.test("compareVariants() answers with the variant that took the least time", async () => {
  const tuning = openTuning(1000), gpu = new FakeGpu();
  const contests = [gpu.contest("a", [3, 1, 2]), gpu.contest("b", [2, 4, 5]), gpu.contest("c", [5, 4, 3])];
  await gpu.compare(contests, tuning);
  assert.deepEqual(
    contests.map(({ key, variants }) => chosen(tuning, key, variants)),
    [{ WORKGROUP: 2 }, { WORKGROUP: 1 }, { WORKGROUP: 3 }],
  );
});

Deno.test("compareVariants() keeps the first variant unless another is clearly faster", async () => {
  for (const [rivalMs, WORKGROUP] of [[0.96, 2], [0.98, 1], [1, 1]] as const) {
    const tuning = openTuning(1000), gpu = new FakeGpu();
    const contest = gpu.contest("a", [1, rivalMs]);
    await gpu.compare([contest], tuning);
    assert.deepEqual(chosen(tuning, "a", contest.variants), { WORKGROUP });
  }
});

Deno.test("compareVariants() takes the shortest of three runs", async () => {
  const tuning = openTuning(1000), gpu = new FakeGpu();
  const contest = gpu.contest("a", [2, 3]);
  const slow = [[9, 9], [2, 9, 9, 1, 9, 9]];
  await compareVariants([contest], {
    tuning,
    now: () => 0,
    time: (nodes) => {
      const durations = slow.shift()!;
      assert.equal(nodes.length, durations.length);
      return Promise.resolve(durations);
    },
  });
  assert.deepEqual(chosen(tuning, "a", contest.variants), { WORKGROUP: 2 });
});

Deno.test("compareVariants() begins with the most work and stops when its budget is spent", async () => {
  // In the order of their work: 2 × 10 ms to learn the speed, 60, 48, 42 (beyond 150), 24 ms.
  const tuning = openTuning(155), gpu = new FakeGpu();
  const contests = [[4, 4], [10, 10], [7, 7], [8, 8]].map((times) => gpu.contest(`${times[0]}`, times));
  await gpu.compare(contests, tuning);
  assert.deepEqual([...tuning.answers.keys()], ["10", "8", "4"]);
  assert.equal(gpu.clock, 1000 + 20 + 60 + 48 + 24);
});

Deno.test("compareVariants() counts the time of compiling", async () => {
  // The larger one is compiled to learn the speed, then again with its rival, the smaller one for 100 of its 200 ms.
  const tuning = openTuning(400), gpu = new FakeGpu({ compileMs: 100 });
  await gpu.compare([gpu.contest("a", [2, 1]), gpu.contest("b", [1, 2])], tuning);
  assert.deepEqual([...tuning.answers.keys()], ["a"]);
});

Deno.test("compareVariants() submits short contests together and long ones one by one", async () => {
  const short = new FakeGpu();
  await short.compare([short.contest("a", [1, 2]), short.contest("b", [3, 4])], openTuning(1000));
  assert.deepEqual(short.submissions, [["3", "3"], Array(3).fill(["3", "4", "1", "2"]).flat()]);

  const long = new FakeGpu();
  await long.compare([long.contest("a", [50, 51]), long.contest("b", [60, 61])], openTuning(10_000));
  assert.deepEqual(long.submissions, [
    ["60", "60"],
    Array(3).fill(["60", "61"]).flat(),
    Array(3).fill(["50", "51"]).flat(),
  ]);
});

Deno.test("compareVariants() gives no answer where the clock shows no time or nonsense", async () => {
  for (const times of [[0, 1], [1, 0], [1, -5], [NaN, 1], [1, NaN]]) {
    const tuning = openTuning(1000), gpu = new FakeGpu();
    await gpu.compare([gpu.contest("a", times)], tuning);
    assert.deepEqual([...tuning.answers], [], String(times));
  }
});

Deno.test("compareVariants() measures nothing without a contest", async () => {
  const gpu = new FakeGpu();
  await gpu.compare([], openTuning(1000));
  assert.deepEqual(gpu.submissions, []);
});

Deno.test("compareVariants() leaves out what cannot be dispatched or compiled, and passes on a lost device", async () => {
  const tuning = openTuning(1000), gpu = new FakeGpu();
  const { prepare, ...contest } = gpu.contest("a", [5, 1, 2, 3]);
  const [first, large, ...others] = contest.variants as [Variant, Variant, Variant, Variant];
  const among = [first, { ...large, workgroups: [65536, 1, 1] as const }, ...others];
  async function refuse(kind: GpuError["kind"]): Promise<void> {
    await gpu.compare([{
      ...contest,
      variants: among,
      prepare: (variant) => {
        if (variant === others[0]) throw new GpuError(kind, "refused");
        return prepare(variant);
      },
    }], tuning);
  }
  await refuse("internal");
  assert.deepEqual(chosen(tuning, "a", among), { WORKGROUP: 4 });
  await assert.rejects(refuse("lost"), new GpuError("lost", "refused"));
});

Deno.test("knownVariant() knows only answers that were found among the same variants of the same shaders", async () => {
  const tuning = openTuning(1000), gpu = new FakeGpu();
  await gpu.compare([gpu.contest("a", [2, 1])], tuning);
  assert.deepEqual(chosen(tuning, "a", variants(1, 2)), { WORKGROUP: 2 });
  assert.equal(knownVariant(tuning, "b", variants(1, 2)), null);
  assert.equal(knownVariant(tuning, "a", variants(2)), null);
  assert.equal(knownVariant(tuning, "a", variants(1, 2, 4)), null);
  const { declaration } = scaleKernel;
  const kernel = defineKernel({ ...declaration, source: `${declaration.source}\n` });
  assert.equal(knownVariant(tuning, "a", variants(1, 2).map((v) => ({ ...v, kernel }))), null);
  tuning.answers.set("a", { variant: "scale[WORKGROUP=3]", among: tuning.answers.get("a")!.among });
  assert.equal(knownVariant(tuning, "a", variants(1, 2)), null);
});

Deno.test("isDispatchable() takes 1 to 65,535 workgroups in each direction", () => {
  assert.ok(isDispatchable([1, 1, 1]));
  assert.ok(isDispatchable([65535, 65535, 65535]));
  for (const bad of [0, -1, 1.5, NaN, 65536]) {
    assert.ok(!isDispatchable([bad, 1, 1]) && !isDispatchable([1, bad, 1]) && !isDispatchable([1, 1, bad]));
  }
});

const X = Float32Array.from({ length: 256 }, (_, i) => i + 1);

/** Records 2 · x by one of `among`, finishes and runs the plan; returns the variant in use and the result. */
async function double(gpu: Gpu, among: readonly Variant[]): Promise<{ kernel: string; y: Float32Array }> {
  const rec = new Recorder(gpu);
  const x = gpu.tensor([64, 4], "x", X), y = rec.tensor([64, 4], "y");
  const bindings = { x, y }, params = { count: 64, factor: 2 };
  rec.runOneOf(among, { bindings, params, label: "double", key: "double 64", work: 256 });
  using plan = await rec.finish([y]);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  return { kernel: plan.nodes[0]!.kernel, y: await gpu.read(y) };
}

async function withTuning(gpu: Gpu, tuning: Tuning, body: () => Promise<void>): Promise<void> {
  const outer = gpu.tuning;
  gpu.tuning = tuning;
  try {
    await body();
  } finally {
    gpu.tuning = outer;
  }
}

/** One that does its work in a single workgroup, and one that needs 65,535 for the same. */
const FAST: Variant = { kernel: scaleKernel, constants: { WORKGROUP: 64 }, workgroups: [1, 1, 1] };
const SLOW: Variant = { kernel: scaleKernel, constants: { WORKGROUP: 32 }, workgroups: [65535, 1, 1] };

gpuTest("Recorder.runOneOf() takes the first variant and measures nothing without a budget", async (gpu) => {
  assert.deepEqual(await double(gpu, [SLOW, FAST]), {
    kernel: "scale[WORKGROUP=32]",
    y: X.map((v) => 2 * v),
  });
  assert.equal(gpu.tuning.answers.size, 0);
});

gpuTest(
  "Recorder.runOneOf() takes the variant that finish() found to be the fastest, and remembers it",
  async (gpu) => {
    const tuning = openTuning(60_000);
    await withTuning(gpu, tuning, async () => {
      const expected = { kernel: "scale[WORKGROUP=64]", y: X.map((v) => 2 * v) };
      assert.deepEqual(await double(gpu, [SLOW, FAST]), expected);
      assert.deepEqual([...tuning.answers.keys()], ["double 64"]);
      gpu.tuning = { ...tuning, budgetMs: 0 };
      assert.deepEqual(await double(gpu, [SLOW, FAST]), expected);
    });
  },
);

gpuTest(
  "Recorder.runOneOf() passes over variants of too many workgroups, and refuses if there is no other",
  async (gpu) => {
    const large: Variant = { ...FAST, constants: { WORKGROUP: 1 }, workgroups: [65536, 1, 1] };
    assert.equal((await double(gpu, [large, FAST])).kernel, "scale[WORKGROUP=64]");
    await assert.rejects(
      double(gpu, [large]),
      new RangeError('Cannot run scale "double": workgroups [65536,1,1], 1 to 65535 wanted'),
    );
  },
);

gpuTest("Recorder.finish() measures on memory without zeros and keeps what once() computed", async (gpu) => {
  const tuning = openTuning(60_000);
  await withTuning(gpu, tuning, async () => {
    const rec = new Recorder(gpu);
    const x = gpu.tensor([64, 4], "x", X);
    const z = rec.once(() => {
      const z = rec.tensor([64, 4], "z");
      const bindings = { x, y: z }, params = { count: 64, factor: -1 };
      rec.runOneOf([SLOW, FAST], { bindings, params, label: "negate", key: "negate 64", work: 256 });
      return z;
    });
    const y = rec.tensor([64, 4], "y");
    rec.runOneOf([SLOW, FAST], {
      bindings: { x: z, y },
      params: { count: 64, factor: 2 },
      label: "double",
      key: "double 64",
      work: 256,
    });
    const later = recordScale(rec, y, { factor: 3, label: "triple" });
    using plan = await rec.finish([y, later]);
    assert.deepEqual([...tuning.answers.keys()], ["double 64"], "what runs once is not worth measuring");
    assert.ok((await gpu.read(later)).every((v) => Math.abs(v) > 0), "memory held a zero");
    gpu.submit((encoder) => plan.encode(encoder));
    assert.deepEqual(await gpu.read(y), X.map((v) => -2 * v));
    assert.deepEqual(await gpu.read(later), X.map((v) => -6 * v));
  });
});
