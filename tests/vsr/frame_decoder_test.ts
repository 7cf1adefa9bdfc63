import assert from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { FrameDecoder } from "../../src/vsr/frame_decoder.ts";
import { loadNetwork } from "../../src/vsr/networks.ts";
import { Pacer } from "../../src/vsr/pacer.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signal } from "../generated.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;
const HEIGHT = 40, WIDTH = 52;

/** A latent of soft shapes, as pictures have them, and not of noise. */
function softLatent(gpu: Gpu): Tensor {
  const waves = signal("waves", [4, 4]);
  const data = Float32Array.from({ length: HEIGHT * WIDTH * 4 }, (_, i) => {
    const c = i % 4, column = (i >> 2) % WIDTH, row = Math.floor((i >> 2) / WIDTH);
    return Math.sin(0.2 * row + waves[c]!) + Math.cos(0.15 * column + waves[4 + c]!);
  });
  return gpu.tensor([1, HEIGHT, WIDTH, 4], "latent", data);
}

/** Decodes with 16 bits and returns the levels. */
async function decode(gpu: Gpu, tile: number | null): Promise<Uint16Array> {
  const model = await openModelFolder(MODEL);
  using vae = await loadNetwork(gpu, { model, part: "vae" });
  const latent = softLatent(gpu);
  const options = { shape: latent.shape, bitDepth: 16, tile } as const;
  using decoder = await FrameDecoder.create(gpu, vae.network, options);
  await new Pacer(gpu).submit(decoder.steps(latent), "decode");
  assert.equal((await gpu.read(decoder.check))[0], 0);
  return new Uint16Array(await gpu.readRaw(decoder.packed), 0, 16 * HEIGHT * WIDTH * 3);
}

/** Mean absolute difference in levels of 8 bits. */
function difference(a: Uint16Array, b: Uint16Array): number {
  assert.equal(a.length, b.length);
  let sum = 0;
  for (const [i, value] of a.entries()) sum += Math.abs(value - b[i]!) / 257;
  return sum / a.length;
}

/** The largest step from one column to the next of the mean difference of all rows, in levels of 8 bits. */
function largestStep(a: Uint16Array, b: Uint16Array): number {
  const columns = new Float64Array(4 * WIDTH);
  for (const [i, value] of a.entries()) {
    columns[Math.floor(i / 3) % columns.length]! += (value - b[i]!) / 257 / (12 * HEIGHT);
  }
  return Math.max(...columns.slice(1).map((mean, i) => Math.abs(mean - columns[i]!)));
}

gpuTest("FrameDecoder gives the same bytes where one tile covers the frame", async (gpu) => {
  assert.deepEqual(await decode(gpu, 64), await decode(gpu, null));
});

gpuTest(
  "FrameDecoder in tiles is near to whole frames, nearer with larger tiles, without seams",
  async (gpu) => {
    const whole = await decode(gpu, null);
    const large = await decode(gpu, 48), small = await decode(gpu, 24);
    const [near, far] = [difference(large, whole), difference(small, whole)];
    // 0.22 and 1.0 levels were found; each tile is normalised by its own mean and variance.
    assert.ok(near > 0 && near < 0.5, `tiles of 48: ${near} levels`);
    assert.ok(far > near && far < 2, `tiles of 24: ${far} levels`);
    for (const tiled of [large, small]) {
      const step = largestStep(tiled, whole);
      assert.ok(step < 0.75, `a step of ${step} levels between two columns`);
    }
  },
);
