import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { type GpuError, LimitError } from "../../src/gpu/errors.ts";

/** Opens a device for tests that leave it in a bad state. */
function open(): Promise<Gpu> {
  return Gpu.open({ allowCpu: true });
}

/** A call that WebGPU finds invalid. */
function misuse(gpu: Gpu): void {
  gpu.device.createBuffer({ size: 16, usage: 0xffff, label: "no such usage" });
}

function isValidationError(action: string): (error: GpuError) => boolean {
  return ({ name, kind, message, cause }) => {
    assert.deepEqual([name, kind], ["GpuError", "validation"]);
    assert.ok(message.startsWith(`Cannot ${action}: validation error: `), message);
    assert.ok(cause instanceof GPUValidationError);
    return true;
  };
}

const LOST = {
  name: "GpuError",
  kind: "lost",
  message: /^Cannot [^:]+: GPU device lost \(destroyed\): .*\. Run the same command again;/,
};

Deno.test("Gpu.open() takes part of the description in any case and refuses another adapter", async () => {
  using gpu = await open();
  const { description } = gpu.facts;
  using again = await Gpu.open({ allowCpu: true, device: description.slice(1, 5).toUpperCase() });
  assert.equal(again.facts.description, description);
  await assert.rejects(Gpu.open({ allowCpu: true, device: "no such card" }), {
    name: "NoAdapterError",
    message: `Cannot use device "no such card": the adapter in reach is "${description}". WebGPU cannot ` +
      "list others; choose with VK_DRIVER_FILES or MESA_VK_DEVICE_SELECT",
  });
});

Deno.test("Gpu.open() refuses a software adapter unless allowed, and says how to allow it", async () => {
  using gpu = await open();
  const { description, software } = gpu.facts;
  if (!software) {
    using hardware = await Gpu.open();
    assert.equal(hardware.facts.description, description);
    return;
  }
  await assert.rejects(Gpu.open(), {
    name: "NoAdapterError",
    message: `Cannot use "${description}": it is a software adapter and computes on the CPU. ` +
      "Pass --allow-cpu to use it all the same, or install a GPU driver (deno task doctor)",
  });
});

Deno.test("Gpu.open() lowers maxBindingBytes and never raises it above the adapter's", async () => {
  using gpu = await open();
  using lower = await Gpu.open({ allowCpu: true, maxBindingBytes: 4096 });
  using higher = await Gpu.open({ allowCpu: true, maxBindingBytes: 2 ** 50 });
  assert.equal(gpu.facts.maxBindingBytes, gpu.device.limits.maxStorageBufferBindingSize);
  assert.equal(lower.facts.maxBindingBytes, 4096);
  assert.equal(higher.facts.maxBindingBytes, gpu.facts.maxBindingBytes);
});

Deno.test("Gpu.open() does without subgroups when told to", async () => {
  using gpu = await Gpu.open({ allowCpu: true, subgroups: false });
  assert.equal(gpu.facts.subgroupSize, 0);
});

Deno.test("Gpu.createBuffer() refuses a size beyond the limit, with the numbers", async () => {
  using gpu = await open();
  const limit = gpu.facts.maxBufferBytes;
  assert.throws(
    () => gpu.createBuffer(limit + 1, GPUBufferUsage.STORAGE, "huge"),
    new LimitError(`Cannot allocate "huge": ${limit + 1} bytes, this GPU allows ${limit} per buffer`),
  );
});

Deno.test("Gpu.done() throws an error that nobody caught, and so does everything after it", async () => {
  using gpu = await open();
  const x = gpu.tensor([4], "x", new Float32Array(4));
  misuse(gpu);
  const expected = isValidationError("run GPU work");
  await assert.rejects(gpu.done(), expected);
  assert.throws(() => gpu.check(), expected);
  assert.throws(() => gpu.submit(() => {}), expected);
  await assert.rejects(gpu.done(), expected);
  await assert.rejects(gpu.read(x), expected);
  await assert.rejects(gpu.scoped("go on", () => {}), expected);
});

Deno.test("Gpu.read() throws an error that nobody caught instead of returning values", async () => {
  using gpu = await open();
  const x = gpu.tensor([4], "x", new Float32Array(4));
  misuse(gpu);
  await assert.rejects(gpu.read(x), isValidationError("run GPU work"));
});

Deno.test("Gpu.scoped() returns the result and reports errors under the action's name, once", async () => {
  using gpu = await open();
  assert.equal(await gpu.scoped("add", () => 1 + 2), 3);
  await assert.rejects(gpu.scoped("bake a cake", () => misuse(gpu)), isValidationError("bake a cake"));
  gpu.check();
  await gpu.done();
});

Deno.test("Gpu.scoped() lets the body's own error through and closes its scopes", async () => {
  using gpu = await open();
  const own = new Error("own");
  await assert.rejects(
    gpu.scoped("fail", () => {
      misuse(gpu);
      throw own;
    }),
    (error) => error === own,
  );
  misuse(gpu);
  await assert.rejects(gpu.done(), isValidationError("run GPU work"));
});

Deno.test("Gpu.done() lets timers run", async () => {
  using gpu = await open();
  let ran = false;
  setTimeout(() => ran = true, 0);
  for (let i = 0; i < 5 && !ran; i++) await gpu.done();
  assert.ok(ran);
});

for (
  const [what, wait] of Object.entries({
    "done()": (gpu: Gpu) => gpu.done(),
    "read()": (gpu: Gpu) => gpu.read(gpu.tensor([4], "x")),
  })
) {
  Deno.test(`Gpu.${what} throws instead of hanging when the device is lost before it`, async () => {
    using gpu = await open();
    gpu.device.destroy();
    await assert.rejects(wait(gpu), LOST);
    assert.throws(() => gpu.check(), LOST);
  });

  Deno.test(`Gpu.${what} throws instead of hanging when the device is lost during it`, async () => {
    using gpu = await open();
    const waiting = wait(gpu);
    gpu.device.destroy();
    await assert.rejects(waiting, LOST);
  });
}

Deno.test("Gpu throws at once where the device was lost long ago", async () => {
  using gpu = await open();
  gpu.close();
  await gpu.device.lost;
  assert.throws(() => gpu.submit(() => {}), LOST);
  await assert.rejects(gpu.scoped("go on", () => {}), LOST);
  await assert.rejects(gpu.done(), LOST);
});
