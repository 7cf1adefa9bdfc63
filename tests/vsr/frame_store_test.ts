import assert from "node:assert/strict";
import { type Gpu, QUEUED_BYTES } from "../../src/gpu/device.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { copyTensor, FrameStore } from "../../src/vsr/frame_store.ts";
import { assertAllClose } from "../_assert.ts";
import { gpuTest } from "../_gpu_test.ts";
import { meterQueue } from "../_meter_queue.ts";
import { signalFrame } from "./_signal_frame.ts";
import { trackBuffers } from "./_track_buffers.ts";

const SIZE = { width: 7, height: 5 };

async function load(gpu: Gpu, store: FrameStore, index: number): Promise<Float32Array> {
  const target = gpu.tensor([1, store.height, store.width, 3], "target");
  gpu.submit((encoder) => store.load(encoder, index, target));
  const values = await gpu.read(target);
  gpu.free(target);
  return values;
}

gpuTest("FrameStore loads any frame of either depth in any order as -1 to 1", async (gpu) => {
  using store = new FrameStore(gpu, SIZE);
  const frames = [8, 16, 8, 16].map((depth, i) => signalFrame(i, { ...SIZE, bitDepth: depth as 8 | 16 }));
  for (const frame of frames) await store.add(frame);
  assert.equal(store.count, 4);
  for (const index of [3, 0, 2, 1, 0]) {
    const { data, bitDepth } = frames[index]!;
    assert.equal(store.bitDepth(index), bitDepth);
    const half = (2 ** bitDepth - 1) / 2;
    assertAllClose(await load(gpu, store, index), Array.from(data, (v) => v / half - 1), {
      atol: 3e-7,
      label: `frame ${index}`,
    });
  }
});

gpuTest("FrameStore takes frames that are views into larger memory", async (gpu) => {
  using store = new FrameStore(gpu, SIZE);
  const frame = signalFrame(0, SIZE);
  const memory = new Uint8Array(200).fill(77);
  memory.set(frame.data, 3);
  await store.add(frame);
  await store.add({ ...frame, data: memory.subarray(3, 3 + frame.data.length) });
  assert.deepEqual(await load(gpu, store, 1), await load(gpu, store, 0));
});

gpuTest("FrameStore.add() refuses another size", async (gpu) => {
  using store = new FrameStore(gpu, SIZE);
  await store.add(signalFrame(0, SIZE));
  await assert.rejects(
    store.add(signalFrame(1, { width: 5, height: 7 })),
    new RangeError("Cannot add frame 1: it is 5×7, the clip is 7×5"),
  );
  assert.equal(store.count, 1);
});

gpuTest("FrameStore.destroy() frees everything", async (gpu) => {
  using buffers = trackBuffers();
  const store = new FrameStore(gpu, SIZE);
  for (const bitDepth of [8, 16, 8] as const) await store.add(signalFrame(0, { ...SIZE, bitDepth }));
  assert.ok(buffers.live.size > 3);
  store.destroy();
  assert.deepEqual([...buffers.live].map((b) => b.label), []);
});

gpuTest("copyTensor() refuses tensors of another size or without memory", (gpu) => {
  const x = gpu.tensor([2, 4], "x"),
    larger = gpu.tensor([3, 4], "larger"),
    empty = new Tensor([2, 4], "empty");
  const encoder = gpu.device.createCommandEncoder();
  for (const [from, to] of [[x, larger], [larger, x], [x, empty], [empty, x]] as const) {
    assert.throws(
      () => copyTensor(encoder, from, to),
      new RangeError(`Cannot copy "${from.label}" [${from.shape}] to "${to.label}" [${to.shape}]`),
    );
  }
  return Promise.resolve();
});

gpuTest("FrameStore.isBlank() is true for noise of a few levels and false for a picture", async (gpu) => {
  const size = { width: 6, height: 4 };
  using store = new FrameStore(gpu, size);
  const noise = Uint8Array.from({ length: 72 }, (_, i) => 250 - i % 7);
  await store.add({ ...size, bitDepth: 8, data: noise });
  await store.add(signalFrame(0, size));
  assert.deepEqual([store.isBlank(0), store.isBlank(1)], [true, false]);
});

gpuTest("FrameStore.add() queues 64 MiB of frames, however many there are", async (gpu) => {
  const size = { width: 4096, height: 512 };
  using store = new FrameStore(gpu, size);
  using queue = meterQueue();
  const frame = signalFrame(0, { ...size, bitDepth: 16 });
  for (let i = 0; i < 8; i++) await store.add(frame);
  assert.ok(queue.writtenBytes >= 8 * frame.data.byteLength); // and the parameters of a plan
  assert.ok(
    queue.mostQueuedBytes < QUEUED_BYTES + frame.data.byteLength,
    `${queue.mostQueuedBytes} bytes queued`,
  );
});
