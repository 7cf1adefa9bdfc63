import assert from "node:assert/strict";
import { PhiloxNoise } from "../../src/vsr/noise.ts";
import { assertAllClose } from "../_assert.ts";
import { gpuTest } from "../_gpu_test.ts";
import { gaussianNoise } from "../reference/philox.ts";
import { trackBuffers } from "./_track_buffers.ts";

const SHAPE = [1, 5, 6, 4], COUNT = 120;
const SEED = 2 ** 40 + 7;

gpuTest("PhiloxNoise gives the values of (seed, frame, stream), whatever was drawn before", async (gpu) => {
  const noise = await PhiloxNoise.create(gpu, SEED, SHAPE);
  const at = [{ frame: 3, stream: 1 }, { frame: 0, stream: 0 }, { frame: 3, stream: 1 }];
  const targets = at.map((place) => {
    const target = gpu.tensor(SHAPE, "target");
    noise.fill(target, place);
    return target;
  });
  const values: Float32Array[] = [];
  for (const target of targets) values.push(await gpu.read(target));
  at.forEach((place, i) => {
    assertAllClose(values[i]!, gaussianNoise({ seed: SEED, ...place, count: COUNT }), { atol: 1e-5 });
  });
  assert.deepEqual(values[2], values[0]);
  assert.notDeepEqual(values[1], values[0]);
  noise.destroy();
});

gpuTest("PhiloxNoise.create() refuses seeds that are no non-negative safe integers", async (gpu) => {
  for (const seed of [-1, 0.5, 2 ** 53, NaN]) {
    await assert.rejects(
      PhiloxNoise.create(gpu, seed, SHAPE),
      new RangeError(`Cannot use seed ${seed}: a non-negative integer up to 2^53 - 1 is wanted`),
    );
  }
});

gpuTest("PhiloxNoise.destroy() frees everything", async (gpu) => {
  using buffers = trackBuffers();
  const noise = await PhiloxNoise.create(gpu, 1, SHAPE);
  assert.ok(buffers.live.size > 0);
  noise.destroy();
  assert.deepEqual([...buffers.live].map((b) => b.label), []);
});
