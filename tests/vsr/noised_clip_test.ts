import assert from "node:assert/strict";
import { parseSchedulerConfig } from "../../src/checkpoint/scheduler_config.ts";
import { FrameStore } from "../../src/vsr/frame_store.ts";
import { FRAME_STREAM, NoisedClip, noiseMix } from "../../src/vsr/noised_clip.ts";
import { assertAllClose } from "../_assert.ts";
import { gpuTest } from "../_gpu_test.ts";
import { gaussianNoise } from "../reference/philox.ts";
import { signalFrame } from "./_signal_frame.ts";
import { trackBuffers } from "./_track_buffers.ts";
import { LOW_RES_SCHEDULER } from "./_x4_folder.ts";

const SIZE = { width: 7, height: 5 };
const CONFIG = parseSchedulerConfig(LOW_RES_SCHEDULER, "low_res_scheduler");

Deno.test("noiseMix() has the variances of the schedule at that timestep, and refuses one outside", () => {
  // The product of 1 - beta of the first 21 of 1000 betas, whose roots go evenly from 0.01 to sqrt(0.02).
  let alpha = 1;
  for (let i = 0; i <= 20; i++) alpha *= 1 - (0.01 + i / 999 * (Math.sqrt(0.02) - 0.01)) ** 2;
  const { signal, noise } = noiseMix(CONFIG, 20);
  assert.ok(Math.abs(signal ** 2 - alpha) < 1e-12, `${signal ** 2}`);
  assert.ok(Math.abs(noise ** 2 - (1 - alpha)) < 1e-12, `${noise ** 2}`);
  assert.throws(
    () => noiseMix(CONFIG, 1000),
    new RangeError("Cannot use noise level 1000: an integer from 0 to 999 is wanted"),
  );
});

gpuTest(
  "NoisedClip.load() adds the frame's own noise, the same in any order, and frees its memory",
  async (gpu) => {
    using store = new FrameStore(gpu, SIZE);
    for (const i of [0, 1]) await store.add(signalFrame(i, SIZE));
    const target = gpu.tensor([1, 5, 7, 3], "target");
    using buffers = trackBuffers();
    {
      using clip = await NoisedClip.create(gpu, store, { seed: 9, mix: { signal: 0.8, noise: 0.6 } });
      assert.deepEqual([clip.height, clip.width, clip.count], [5, 7, 2]);
      for (const frame of [1, 0, 1]) {
        gpu.submit((encoder) => clip.load(encoder, frame, target));
        const values = await gpu.read(target);
        const drawn = gaussianNoise({ seed: 9, frame, stream: FRAME_STREAM, count: 4 * 35 });
        const noise = drawn.filter((_, i) => i % 4 < 3); // three channels of each pixel's four numbers
        const { data } = signalFrame(frame, SIZE);
        const expected = Array.from(data, (v, i) => 0.8 * (v / 127.5 - 1) + 0.6 * noise[i]!);
        assertAllClose(values, expected, { atol: 2e-6, label: `frame ${frame}` });
      }
    }
    assert.deepEqual([...buffers.live].map(({ label }) => label), []);
    gpu.free(target);
  },
);
