import assert from "node:assert/strict";
import { extrapolate } from "../../src/vsr/estimate_time.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { trackBuffers } from "./_track_buffers.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;

Deno.test("extrapolate() follows the line through both samples", () => {
  const large = { flops: 100, durationMs: 30 }, small = { flops: 50, durationMs: 20 };
  assert.equal(extrapolate(large, small, 1000), 210);
  assert.equal(extrapolate(large, small, 100), 30);
});

Deno.test("extrapolate() is proportional to the larger sample where the line makes no sense", () => {
  const large = { flops: 100, durationMs: 30 };
  for (const small of [{ flops: 50, durationMs: 31 }, { flops: 50, durationMs: 10 }, large]) {
    assert.equal(extrapolate(large, small, 1000), 300);
  }
});

Deno.test("Upscaler.estimateTime() takes a time for each stage, longer for more steps, and frees all", async () => {
  using buffers = trackBuffers();
  using upscaler = await Upscaler.open({ model: MODEL, allowCpu: true });
  const clip = { height: 10, width: 12, bitDepths: [8, 8] } as const;
  const [once, often] = await Promise.all([1, 1000].map((steps) => upscaler.plan(clip, { steps })));
  const few = await upscaler.estimateTime(clip, once!), many = await upscaler.estimateTime(clip, often!);
  assert.deepEqual(few.map(({ stage }) => stage), ["flow", "sample", "decode"]);
  assert.ok(few.every(({ durationMs }) => durationMs > 0 && durationMs < 1e6), JSON.stringify(few));
  // 1000 times as many; another process may have slowed down one of them.
  const factor = many[1]!.durationMs / few[1]!.durationMs;
  assert.ok(factor > 50 && factor < 20_000, `factor ${factor}`);
  assert.deepEqual([...buffers.live].map(({ label }) => label), []);
});
