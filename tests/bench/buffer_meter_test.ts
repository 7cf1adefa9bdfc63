import assert from "node:assert/strict";
import { BufferMeter } from "../../bench/buffer_meter.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { gpuTest } from "../_gpu_test.ts";

gpuTest("BufferMeter counts textures", (gpu) => {
  using meter = new BufferMeter();
  for (const [dtype, bytes] of [["f32", 8192], ["f16", 4096]] as const) {
    const x = new Tensor([2, 400, 4], "measured", { dtype, inTexture: true });
    gpu.allocate(x);
    assert.equal(meter.bytes, 2 * bytes);
    gpu.free(x);
    assert.equal(meter.bytes, 0);
  }
  return Promise.resolve();
});

gpuTest("BufferMeter keeps the largest sum of live buffers, until it is disposed of", (gpu) => {
  const buffer = (size: number) => gpu.createBuffer(size, GPUBufferUsage.STORAGE, "measured");
  const unmeasured = buffer(4096);
  const meter = new BufferMeter();
  using _disposed = meter;
  const first = buffer(1024);
  unmeasured.destroy();
  first.destroy();
  first.destroy();
  const second = buffer(512), third = buffer(768);
  assert.equal(meter.peakBytes, 1280);
  meter[Symbol.dispose]();
  const last = buffer(8192);
  assert.equal(meter.peakBytes, 1280);
  for (const left of [second, third, last]) left.destroy();
  return Promise.resolve();
});
