import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { LimitError } from "../../src/gpu/errors.ts";
import { defineKernel } from "../../src/gpu/kernel.ts";
import { type Dispatch, slice } from "../../src/gpu/dispatch.ts";
import { matchArenas } from "../../src/gpu/layout.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { gpuTest } from "../_gpu_test.ts";
import { recordScale, scaleKernel } from "./_scale_kernel.ts";

const SHAPE = [64, 4];
const BYTES = 1024;

/** x · 2 · 2 · 2 …, each in a tensor of its own. */
function recordChain(rec: Recorder, x: Tensor, length: number): Tensor[] {
  const chain: Tensor[] = [];
  for (let i = 0; i < length; i++) {
    chain.push(recordScale(rec, chain.at(-1) ?? x, { factor: 2, label: `chain.${i}` }));
  }
  return chain;
}

function filled(gpu: Gpu, value: number): Tensor {
  return gpu.tensor(SHAPE, "x", new Float32Array(256).fill(value));
}

async function assertFilled(gpu: Gpu, tensor: Tensor, value: number): Promise<void> {
  assert.deepEqual(await gpu.read(tensor), new Float32Array(256).fill(value));
}

/** Throws what `Recorder.run()` throws for a good dispatch with some of it replaced. */
function run(gpu: Gpu, replaced: Partial<Dispatch>): void {
  const rec = new Recorder(gpu);
  const x = filled(gpu, 1);
  rec.run(scaleKernel, {
    bindings: { x, y: rec.tensor(SHAPE, "y") },
    params: { count: 64, factor: 1 },
    workgroups: [1, 1, 1],
    label: "layer",
    ...replaced,
  });
}

gpuTest("Recorder.run() refuses missing, extra and misnamed bindings", (gpu) => {
  const x = new Tensor(SHAPE, "x"), y = new Tensor(SHAPE, "y");
  for (const bindings of [{ x }, { x, y, z: x }, { x, out: y }]) {
    assert.throws(
      () => run(gpu, { bindings }),
      new TypeError(
        `Cannot run scale "layer": bindings [${Object.keys(bindings)}] given, [x,y] wanted`,
      ),
    );
  }
  return Promise.resolve();
});

gpuTest("Recorder.run() takes null for an input, never for an output", async (gpu) => {
  assert.throws(
    () => run(gpu, { bindings: { x: filled(gpu, 1), y: null } }),
    new TypeError('Cannot run scale "layer": output "y" is missing'),
  );
  const rec = new Recorder(gpu);
  const y = rec.tensor([1, 4], "y");
  rec.run(scaleKernel, {
    bindings: { x: null, y },
    params: { count: 1, factor: 3 },
    workgroups: [1, 1, 1],
    label: "layer",
  });
  using plan = await rec.finish([y]);
  gpu.submit((encoder) => plan.encode(encoder));
  assert.deepEqual(await gpu.read(y), new Float32Array(4));
});

gpuTest("Recorder.run() refuses bindings beyond the limit and takes slices of them", async (gpu) => {
  const x = filled(gpu, 3);
  assert.throws(
    () => run(gpu, { bindings: { x, y: new Tensor([1], "y") } }),
    new LimitError(`Cannot run scale "layer": binding "x" has ${BYTES} bytes, this GPU binds 512`),
  );
  const rec = new Recorder(gpu);
  const y = rec.tensor(SHAPE, "y");
  for (const [from, to] of [[0, 32], [32, 64]] as const) {
    rec.run(scaleKernel, {
      bindings: { x: slice(x, from, to), y: slice(y, from, to) },
      params: { count: 32, factor: 2 },
      workgroups: [1, 1, 1],
      label: "half",
    });
  }
  using plan = await rec.finish([y]);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  await assertFilled(gpu, y, 6);
}, { maxBindingBytes: 512 });

Deno.test("slice() begins at an offset that can be bound, at or before the first vec4", () => {
  const x = new Tensor([1, 100, 4], "x");
  assert.deepEqual(slice(x, 0, 10), { tensor: x, byteOffset: 0, byteLength: 160, base: 0 });
  assert.deepEqual(slice(x, 15, 17), { tensor: x, byteOffset: 0, byteLength: 272, base: 0 });
  assert.deepEqual(slice(x, 16, 17), { tensor: x, byteOffset: 256, byteLength: 16, base: 16 });
  assert.deepEqual(slice(x, 47, 100), { tensor: x, byteOffset: 512, byteLength: 1088, base: 32 });
});

gpuTest("Recorder.run() refuses numbers of workgroups that WebGPU cannot dispatch", (gpu) => {
  for (const count of [0, -1, 1.5, 65536, NaN]) {
    const workgroups = [1, count, 1] as const;
    assert.throws(
      () => run(gpu, { workgroups }),
      new RangeError(`Cannot run scale "layer": workgroups [${workgroups}], 1 to 65535 wanted`),
    );
  }
  run(gpu, { workgroups: [65535, 65535, 65535] });
  return Promise.resolve();
});

gpuTest("Recorder.finish() refuses an output that nothing wrote", async (gpu) => {
  const rec = new Recorder(gpu);
  const forgotten = rec.tensor(SHAPE, "forgotten");
  const [y] = recordChain(rec, filled(gpu, 1), 1);
  await assert.rejects(
    rec.finish([y!, forgotten]),
    new TypeError('Cannot finish: output "forgotten" was never written'),
  );
});

gpuTest("Recorder.finish() refuses a tensor that is read before it is written", async (gpu) => {
  const rec = new Recorder(gpu);
  const early = rec.tensor(SHAPE, "early");
  const y = recordScale(rec, early, { factor: 1, label: "reader" });
  await assert.rejects(
    rec.finish([y]),
    new TypeError('Cannot run scale "reader": "x" is read before anything wrote it'),
  );
});

gpuTest("Recorder.finish() refuses to update a tensor in place that nothing wrote", async (gpu) => {
  const accumulate = defineKernel({
    ...scaleKernel.declaration,
    name: "accumulate",
    bindings: { x: "read", y: "read_write" },
  });
  const rec = new Recorder(gpu);
  const y = rec.tensor(SHAPE, "sum");
  rec.run(accumulate, {
    bindings: { x: filled(gpu, 1), y },
    params: { count: 64, factor: 1 },
    workgroups: [1, 1, 1],
    label: "layer",
  });
  await assert.rejects(
    rec.finish([y]),
    new TypeError('Cannot run accumulate "layer": "y" is read before anything wrote it'),
  );
});

gpuTest("Recorder.finish() names an input that was never given data", async (gpu) => {
  const rec = new Recorder(gpu);
  const y = recordScale(rec, new Tensor(SHAPE, "weight"), { factor: 1, label: "layer" });
  await assert.rejects(
    rec.finish([y]),
    new TypeError('Cannot bind "weight" to "x" of "layer": it was never given data'),
  );
});

gpuTest("Recorder.finish() refuses params that the kernel does not declare", async (gpu) => {
  const rec = new Recorder(gpu);
  const y = rec.tensor(SHAPE, "y");
  rec.run(scaleKernel, {
    bindings: { x: filled(gpu, 1), y },
    params: { count: 64 },
    workgroups: [1, 1, 1],
    label: "layer",
  });
  await assert.rejects(rec.finish([y]), /^TypeError: Cannot run "scale": params \[count\] given/);
});

gpuTest("Recorder.layout() reuses the bytes of tensors that nothing reads any more", (gpu) => {
  const rec = new Recorder(gpu);
  const chain = recordChain(rec, filled(gpu, 1), 9);
  const { storages, plan } = rec.layout([chain.at(-1)!]);
  assert.equal(storages.length, 9);
  assert.equal(plan.arenas.reduce((a, b) => a + b), 2 * BYTES);
  const all = rec.layout(chain).plan;
  assert.equal(all.arenas.reduce((a, b) => a + b), 9 * BYTES);
  return Promise.resolve();
});

gpuTest("Recorder.layout() says what finish() will allocate and allocates nothing", async (gpu) => {
  const rec = new Recorder(gpu);
  const chain = recordChain(rec, filled(gpu, 1), 3);
  const { plan: { arenas } } = rec.layout([chain[2]!]);
  assert.ok(chain.every(({ storage }) => storage.buffer === null));
  using plan = await rec.finish([chain[2]!]);
  // Besides the arenas: one uniform block of 256 bytes per dispatch, and one for missing inputs.
  assert.equal(plan.byteLength, arenas.reduce((a, b) => a + b) + 4 * 256);
});

gpuTest("Recorder.finish() gives a plan that replays on new inputs", async (gpu) => {
  const rec = new Recorder(gpu);
  const x = filled(gpu, 1);
  const [, , y] = recordChain(rec, x, 3);
  using plan = await rec.finish([y!]);
  for (const value of [1, -5, 0.25]) {
    gpu.write(x, new Float32Array(256).fill(value));
    plan.poison(gpu);
    gpu.submit((encoder) => plan.encode(encoder));
    await assertFilled(gpu, y!, 8 * value);
  }
});

gpuTest("Recorder.finish() binds views of a tensor to its bytes", async (gpu) => {
  const rec = new Recorder(gpu);
  const [first] = recordChain(rec, filled(gpu, 3), 1);
  const view = first!.reshape([2, 32, 4]);
  const y = recordScale(rec, view, { factor: 5, label: "view" });
  assert.equal(rec.layout([y]).storages.length, 2);
  using plan = await rec.finish([y]);
  gpu.submit((encoder) => plan.encode(encoder));
  await assertFilled(gpu, y, 30);
});

gpuTest(
  "Recorder.once() runs its dispatches when the plan is finished, and keeps what they wrote",
  async (gpu) => {
    const rec = new Recorder(gpu);
    const weight = filled(gpu, 3), x = filled(gpu, 1);
    const prepared = rec.once(() => recordScale(rec, weight, { factor: 10, label: "prepare" }));
    const chain = recordChain(rec, x, 4);
    const y = recordScale(rec, prepared, { factor: 1, label: "use" });
    using plan = await rec.finish([chain[3]!, y]);
    assert.ok(plan.nodes.every(({ label }) => label !== "prepare"));
    gpu.write(weight, new Float32Array(256).fill(-1));
    for (let replay = 0; replay < 2; replay++) {
      gpu.submit((encoder) => plan.encode(encoder));
      await assertFilled(gpu, y, 30);
      await assertFilled(gpu, chain[3]!, 16);
    }
  },
);

gpuTest("Recorder.once() refuses to read what only replays write", async (gpu) => {
  const rec = new Recorder(gpu);
  const [late] = recordChain(rec, filled(gpu, 1), 1);
  const y = rec.once(() => recordScale(rec, late!, { factor: 1, label: "prepare" }));
  await assert.rejects(
    rec.finish([y]),
    new TypeError('Cannot run scale "prepare": "x" is read before anything wrote it'),
  );
});

gpuTest("Recorder.tap() keeps watched tensors to the end and ignores the others", async (gpu) => {
  const rec = new Recorder(gpu, (label) => label === "chain.0");
  const chain = recordChain(rec, filled(gpu, 1), 6);
  chain.forEach((tensor) => rec.tap(tensor.label, tensor));
  assert.deepEqual([...rec.taps.keys()], ["chain.0"]);
  using plan = await rec.finish([chain[5]!]);
  plan.poison(gpu);
  gpu.submit((encoder) => plan.encode(encoder));
  await assertFilled(gpu, rec.taps.get("chain.0")!, 2);
  await assertFilled(gpu, chain[5]!, 64);
});

gpuTest("Recorder.tap() keeps nothing unless asked to", (gpu) => {
  const rec = new Recorder(gpu);
  const chain = recordChain(rec, filled(gpu, 1), 6);
  const before = rec.layout([chain[5]!]).plan.arenas;
  chain.forEach((tensor) => rec.tap(tensor.label, tensor));
  assert.equal(rec.taps.size, 0);
  assert.deepEqual(rec.layout([chain[5]!]).plan.arenas, before);
  return Promise.resolve();
});

gpuTest("Recorder.finish() refuses a watched tensor that nothing wrote", async (gpu) => {
  const rec = new Recorder(gpu, () => true);
  rec.tap("lost", rec.tensor(SHAPE, "lost"));
  const [y] = recordChain(rec, filled(gpu, 1), 1);
  await assert.rejects(rec.finish([y!]), /^TypeError: Cannot finish: output "lost" was never written/);
});

gpuTest(
  "Recorder.finish() with scratchOf takes the other plan's arenas, except for what must be kept",
  async (gpu) => {
    const x = gpu.tensor([64], "x", new Float32Array(64).fill(2));
    function record(times: readonly number[]): { rec: Recorder; output: Tensor } {
      const rec = new Recorder(gpu);
      const kept = rec.once(() => recordScale(rec, x, { factor: 10, label: "kept" }));
      const output = times.reduce(
        (y, factor) => recordScale(rec, y, { factor, label: `times ${factor}` }),
        kept,
      );
      return { rec, output };
    }
    const large = record([3, 5, 7]), small = record([11]);
    using first = await large.rec.finish([large.output]);
    using second = await small.rec.finish([small.output], { scratchOf: first });
    assert.ok(second.scratch.arenas.every((arena) => first.scratch.arenas.includes(arena)));
    for (
      const [plan, output, expected] of [[first, large.output, 2100], [second, small.output, 220]] as const
    ) {
      gpu.submit((encoder) => plan.encode(encoder));
      assert.deepEqual([...await gpu.read(output)], Array(64).fill(expected));
    }
    assert.ok(second.byteLength < first.byteLength);
  },
);

Deno.test("matchArenas() gives the largest first the smallest arena that fits, each once", () => {
  assert.deepEqual(matchArenas([300, 200, 90], [500, 250, 350, 80]), [2, 1, 0]);
  assert.deepEqual(matchArenas([300, 600], [350]), [0, -1]);
});
