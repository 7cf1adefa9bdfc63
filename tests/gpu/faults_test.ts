import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { type Faults, injectFaults } from "../../src/gpu/faults.ts";
import { profile } from "../../src/gpu/profile.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { withTimeLimit } from "../_time_limit.ts";
import { recordScale } from "./_scale_kernel.ts";

const DATA = Float32Array.of(1, 2, 3, 4);

/** A test with a device of its own, whose faults end with it. It must come to an end in 10 s. */
function faultTest(name: string, faults: Faults, body: (gpu: Gpu) => Promise<void>): void {
  Deno.test(name, async () => {
    using gpu = await Gpu.open({ allowCpu: true });
    injectFaults(faults);
    try {
      await withTimeLimit(body(gpu), 10);
    } finally {
      injectFaults(null);
    }
  });
}

/** Doubles a tensor; the plan has one arena and allocates three buffers after the input's. */
async function double(gpu: Gpu): Promise<number[]> {
  const x = gpu.tensor([1, 4], "x", DATA);
  const rec = new Recorder(gpu);
  const y = recordScale(rec, x, { factor: 2, label: "double" });
  using plan = await rec.finish([y]);
  gpu.submit((encoder) => plan.encode(encoder), "double x");
  return [...await gpu.read(y)];
}

function lost(what: string): { name: string; kind: string; message: string } {
  return {
    name: "GpuError",
    kind: "lost",
    message: `Cannot ${what}: GPU device lost (destroyed): device was lost. ` +
      "Run the same command again; if this repeats, update the GPU driver",
  };
}

Deno.test("injectFaults() does nothing by itself, counts on and ends", async () => {
  using gpu = await Gpu.open({ allowCpu: true });
  const counts = injectFaults({});
  try {
    assert.deepEqual(await double(gpu), [2, 4, 6, 8]);
    const { submits, allocations, poisoned } = counts;
    assert.deepEqual({ submits, allocations, poisoned }, { submits: 2, allocations: 5, poisoned: 0 });
  } finally {
    injectFaults(null);
  }
  await double(gpu);
  assert.equal(counts.submits, 2);
});

faultTest(
  "Gpu.read() tells of a device that is lost before the work it reads",
  { destroyAtSubmit: 1 },
  async (gpu) => {
    await assert.rejects(double(gpu), lost('read back "double" of 16 bytes'));
  },
);

faultTest(
  "Gpu.read() tells of a device that is lost before the copy",
  { destroyAtSubmit: 2 },
  async (gpu) => {
    await assert.rejects(double(gpu), lost('read back "double" of 16 bytes'));
  },
);

faultTest(
  "Gpu.done() names what was submitted last to a device that is lost",
  { destroyAtSubmit: 1 },
  async (gpu) => {
    gpu.submit(() => {}, "bake a cake");
    await assert.rejects(gpu.done(), lost("bake a cake"));
    assert.throws(() => gpu.submit(() => {}), lost("bake a cake"));
    assert.throws(() => gpu.createBuffer(16, GPUBufferUsage.STORAGE, "late"), lost("bake a cake"));
    assert.throws(() => gpu.tensor([1, 4], "late", DATA), lost("bake a cake"));
    await assert.rejects(gpu.scoped("go on", () => {}), lost("bake a cake"));
  },
);

faultTest("Gpu.scoped() tells of a device that is lost in it", { destroyAtSubmit: 1 }, async (gpu) => {
  await assert.rejects(gpu.scoped("upload", () => gpu.submit(() => {}, "upload")), lost("upload"));
});

faultTest(
  "Recorder.finish() tells of a device that was lost, and compiles nothing",
  { destroyAtSubmit: 1 },
  async (gpu) => {
    const rec = new Recorder(gpu);
    const y = recordScale(rec, gpu.tensor([1, 4], "x", DATA), { factor: 2, label: "double" });
    gpu.submit(() => {}, "bake a cake");
    await assert.rejects(rec.finish([y]), lost("bake a cake"));
  },
);

faultTest(
  "profile() tells of a device that is lost, and frees its buffers",
  { destroyAtSubmit: 1 },
  async (gpu) => {
    if (!gpu.facts.timestamps) return;
    const rec = new Recorder(gpu);
    const y = recordScale(rec, gpu.tensor([1, 4], "x", DATA), { factor: 2, label: "double" });
    using plan = await rec.finish([y]);
    await assert.rejects(profile(gpu, plan), { name: "GpuError", kind: "lost" });
  },
);

for (
  const [failAllocation, label] of [
    [1, '"x" of 16 bytes'],
    [2, '"arena with double" of 256 bytes'],
    [3, '"nothing" of 256 bytes'],
    [4, '"params" of 256 bytes'],
    [5, '"read-back of double" of 16 bytes'],
  ] as const
) {
  faultTest(
    `Gpu.createBuffer() has the failure of ${label} told at the next wait`,
    { failAllocation },
    async (gpu) => {
      const expected = {
        name: "GpuError",
        kind: "out-of-memory",
        message: `Cannot allocate ${label}: out-of-memory error: injected fault. ` +
          "Close other programs that use the GPU, or pass --max-gpu-memory or --precision f16",
      };
      await assert.rejects(double(gpu), expected);
      assert.throws(() => gpu.check(), expected);
      await assert.rejects(gpu.done(), expected);
    },
  );
}

Deno.test("Gpu.open() tells of an adapter that gives no device", async () => {
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = () => Promise.reject(new DOMException("reset", "OperationError"));
  try {
    await assert.rejects(Gpu.open({ allowCpu: true }), {
      name: "GpuError",
      kind: "lost",
      message: /^Cannot open "[^"]+": OperationError: reset\. Run the same command again; if this repeats/,
    });
  } finally {
    GPUAdapter.prototype.requestDevice = requestDevice;
  }
});

Deno.test("Faults.repeated lets devices fail one after the other, without it only the first does", async () => {
  try {
    for (const [repeated, fails] of [[false, [false, false]], [true, [true, true]]] as const) {
      injectFaults({ destroyAtSubmit: 2, repeated });
      using first = await Gpu.open({ allowCpu: true });
      await assert.rejects(double(first), { kind: "lost" });
      for (const fail of fails) {
        using next = await Gpu.open({ allowCpu: true });
        if (fail) await assert.rejects(double(next), { kind: "lost" });
        else assert.deepEqual(await double(next), [2, 4, 6, 8]);
      }
    }
  } finally {
    injectFaults(null);
  }
});

Deno.test("Faults.poisonAtSubmit fills the buffers of that label with NaN, once", async () => {
  using gpu = await Gpu.open({ allowCpu: true });
  const counts = injectFaults({ poisonAtSubmit: 3, poisonLabel: "x" });
  try {
    assert.deepEqual(await double(gpu), [2, 4, 6, 8]);
    assert.equal(counts.poisoned, 0);
    assert.deepEqual(await double(gpu), [NaN, NaN, NaN, NaN]);
    assert.equal(counts.poisoned, 2, "both tensors named x");
    assert.deepEqual(await double(gpu), [2, 4, 6, 8]);
  } finally {
    injectFaults(null);
  }
});
