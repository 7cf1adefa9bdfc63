import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Plan, type PlanNode } from "../../src/gpu/plan.ts";
import { Pacer, type Step } from "../../src/vsr/pacer.ts";

/** Stands for a GPU: logs what is submitted, and takes `stepMs` per dispatch or copy, on a clock of its own. */
class FakeGpu {
  readonly submissions: string[][] = [];
  readonly what: string[] = [];
  waits = 0;
  stepMs = 1;
  now = 0;
  #pending = 0;

  submit(body: (encoder: GPUCommandEncoder) => void, what: string): void {
    this.what.push(what);
    const log: string[] = [];
    const pass = {
      setPipeline: (label: unknown) => log.push(String(label)),
      setBindGroup() {},
      dispatchWorkgroups() {},
      end() {},
    };
    body({ beginComputePass: () => pass, insertDebugMarker: (label: string) => log.push(label) } as never);
    this.submissions.push(log);
    this.#pending += log.length;
  }

  done(): Promise<void> {
    this.waits++;
    this.now += this.#pending * this.stepMs;
    this.#pending = 0;
    return Promise.resolve();
  }
}

/** A copy by the name `label`. */
function copy(label: string): Step {
  return (encoder) => encoder.insertDebugMarker(label);
}

/** A plan of `count` dispatches named by their numbers. */
function planOf(count: number): Plan {
  const nodes = Array.from({ length: count }, (_, i) => ({ pipeline: `${i}`, workgroups: [1, 1, 1] }));
  return new Plan({ setup: [], step: [], nodes: nodes as unknown as PlanNode[] }, {
    own: [],
    scratch: { arenas: [], textures: [] },
  });
}

function dispatchesOf(piece: readonly string[]): number {
  return piece.filter((label) => /^\d/.test(label)).length;
}

function pacerTest(name: string, body: (pacer: Pacer, gpu: FakeGpu) => Promise<void>): void {
  Deno.test(name, async () => {
    const { now } = performance;
    const gpu = new FakeGpu();
    performance.now = () => gpu.now;
    try {
      await body(new Pacer(gpu as unknown as Gpu), gpu);
    } finally {
      performance.now = now;
    }
  });
}

/** Submits `count` units of one copy; returns the numbers of units that `submitted()` called finished. */
async function submitUnits(pacer: Pacer, count: number): Promise<number[]> {
  const finished = [];
  for (let i = 0; i < count; i++) {
    await pacer.submit([copy(`unit ${i}`)], "work");
    finished.push(await pacer.submitted());
  }
  return finished;
}

pacerTest("Pacer waits for twice as many units each time, up to 300 ms of work", async (pacer, gpu) => {
  gpu.stepMs = 30;
  const finished = await submitUnits(pacer, 35);
  assert.deepEqual(finished.slice(0, 7), [1, 0, 2, 0, 0, 0, 4]);
  assert.deepEqual(finished.filter((n) => n > 0), [1, 2, 4, 8, 10, 10]);
  assert.equal(gpu.submissions.length, 35);
});

pacerTest("Pacer waits for each unit where one takes longer than 300 ms", async (pacer, gpu) => {
  gpu.stepMs = 301;
  assert.deepEqual(await submitUnits(pacer, 5), [1, 1, 1, 1, 1]);
  assert.equal(gpu.waits, 5);
});

pacerTest("Pacer waits more often again when units get slower", async (pacer, gpu) => {
  gpu.stepMs = 20;
  await submitUnits(pacer, 15);
  gpu.stepMs = 150;
  assert.deepEqual((await submitUnits(pacer, 19)).filter((n) => n > 0), [15, 2, 2]);
});

pacerTest("Pacer.drain() waits for what is queued, and not at all for nothing", async (pacer, gpu) => {
  assert.equal(await pacer.drain(), 0);
  assert.equal(gpu.waits, 0);
  assert.deepEqual(await submitUnits(pacer, 2), [1, 0]);
  assert.equal(await pacer.drain(), 1);
  assert.equal(await pacer.drain(), 0);
  assert.equal(gpu.waits, 2);
});

pacerTest(
  "Pacer.submit() cuts the first unit into growing pieces and keeps the order",
  async (pacer, gpu) => {
    await pacer.submit([copy("before"), planOf(31), copy("between"), planOf(1), copy("after")], "work");
    const steps = gpu.submissions.flat();
    const numbers = Array.from({ length: 31 }, (_, i) => String(i));
    assert.deepEqual(steps, ["before", ...numbers, "between", "0", "after"]);
    assert.deepEqual(gpu.submissions.map(dispatchesOf), [2, 4, 8, 16, 2]);
    assert.equal(gpu.waits, gpu.submissions.length - 1, "one wait between any two pieces");
  },
);

pacerTest("Pacer.submit() lets the first unit's pieces grow to 300 ms only", async (pacer, gpu) => {
  gpu.stepMs = 30;
  await pacer.submit([planOf(64)], "work");
  assert.deepEqual(gpu.submissions.map(dispatchesOf), [4, 8, 10, 10, 10, 10, 10, 2]);
});

pacerTest("Pacer.submit() cuts the first unit into 16 pieces where these take longer", async (pacer, gpu) => {
  gpu.stepMs = 1000;
  await pacer.submit([planOf(32), copy("after")], "work");
  assert.deepEqual(gpu.submissions.map(dispatchesOf), new Array(16).fill(2));
});

pacerTest("Pacer.submit() cuts long units to 600 ms and leaves short ones whole", async (pacer, gpu) => {
  const unit = [copy("before"), planOf(100)];
  gpu.stepMs = 3000 / 101;
  await pacer.submit(unit, "work");
  assert.equal(await pacer.submitted(), 1);
  gpu.submissions.length = 0;
  await pacer.submit(unit, "work");
  assert.deepEqual(gpu.submissions.map((piece) => piece.length), [21, 20, 20, 20, 20]);

  gpu.stepMs = 0.1;
  assert.equal(await pacer.submitted(), 1);
  gpu.submissions.length = 0;
  await pacer.submit(unit, "work");
  assert.ok(await pacer.submitted());
  gpu.submissions.length = 0;
  const { waits } = gpu;
  await pacer.submit(unit, "work");
  assert.deepEqual([gpu.submissions.length, gpu.waits], [1, waits]);
});

pacerTest("Pacer.submit() tells the GPU what it is to do", async (pacer, gpu) => {
  await pacer.submit([planOf(16)], "count to 16");
  assert.deepEqual([...new Set(gpu.what)], ["count to 16"]);
});

Deno.test("Pacer waits after units as it is told, and passes on what that throws", async () => {
  const gpu = new FakeGpu(), reason = new Error("not finite");
  let waits = 0;
  const pacer = new Pacer(
    gpu as unknown as Gpu,
    () => ++waits < 2 ? Promise.resolve() : Promise.reject(reason),
  );
  await pacer.submit([copy("a unit")], "work");
  assert.equal(await pacer.submitted(), 1);
  await pacer.submit([copy("a unit")], "work");
  assert.equal(await pacer.submitted(), 0);
  await assert.rejects(pacer.drain(), (error) => error === reason);
  assert.deepEqual([waits, gpu.waits], [2, 0]);
});
