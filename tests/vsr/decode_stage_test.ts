import assert from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { fillMemory } from "../../src/gpu/texture.ts";
import type { Frame } from "../../src/media/frame.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { Weights } from "../../src/nn/weights.ts";
import { decodeStage } from "../../src/vsr/decode_stage.ts";
import { BlankFrameError, NonFiniteError } from "../../src/vsr/errors.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signal } from "../generated.ts";
import { trackBuffers } from "./_track_buffers.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;

async function loadDecoder(gpu: Gpu): Promise<{ decoder: VAEDecoder; weights: Weights }> {
  const model = await openModelFolder(MODEL);
  using source = await model.openWeights("vae");
  const weights = new Weights(gpu, new WeightView(source), "vae");
  const decoder = new VAEDecoder(weights, model.configs.vae);
  await weights.load();
  return { decoder, weights };
}

gpuTest(
  "decodeStage() throws at a frame that is not finite, after handing out those before it",
  async (gpu) => {
    using buffers = trackBuffers();
    const { decoder, weights } = await loadDecoder(gpu);
    const good = signal("latent", [4, 5, 4]), bad = good.slice();
    bad[17] = NaN;
    const latents = [good, good, bad, good].map((data, i) => gpu.tensor([1, 4, 5, 4], `latent ${i}`, data));
    const sizes: number[][] = [];
    await assert.rejects(
      async () => {
        const frames = decodeStage(gpu, decoder, { latents, bitDepth: () => 8 });
        for await (const { width, height, data } of frames) sizes.push([width, height, data.length]);
      },
      (error: Error) => {
        assert.ok(error instanceof NonFiniteError);
        assert.match(
          error.message,
          /^Cannot decode frame 2: "unscale latent" \(elementwise\[OP=3\]\) is the first .*, 1 in all; its input "latent to decode" is not finite already\./,
        );
        return true;
      },
    );
    assert.deepEqual(sizes, [[20, 16, 960], [20, 16, 960]]);
    weights.free();
    assert.deepEqual([...buffers.live].map((b) => b.label), latents.map((t) => t.label));
  },
);

gpuTest("decodeStage() refuses a frame of one colour, unless its input shows nothing", async (gpu) => {
  using buffers = trackBuffers();
  const { decoder, weights } = await loadDecoder(gpu);
  for (const buffer of buffers.live) {
    if (!buffer.label.startsWith("vae.decoder.conv_out.")) continue;
    fillMemory(gpu.device, buffer, 0);
  }
  const latents = [0, 1].map((i) => gpu.tensor([1, 4, 5, 4], `latent ${i}`, signal("latent", [4, 5, 4])));
  for (const [isBlank, count] of [[() => true, 2], [(i: number) => i === 0, 1], [undefined, 0]] as const) {
    const frames: Frame[] = [];
    const options = { latents, bitDepth: () => 16 as const, ...(isBlank ? { isBlank } : {}) };
    try {
      for await (const frame of decodeStage(gpu, decoder, options)) frames.push(frame);
      assert.equal(count, 2);
    } catch (error) {
      assert.ok(error instanceof BlankFrameError, String(error));
      assert.equal(
        error.message,
        `Cannot write frame ${count}: all its pixels are (32768, 32768, 32768), but its input shows something. ` +
          "Compare the weight files with their source; pass --precision f32 if they are stored as f16",
      );
    }
    assert.equal(frames.length, count);
    for (const { data } of frames) assert.ok(data.every((v) => v === 32768));
  }
  weights.free();
});
