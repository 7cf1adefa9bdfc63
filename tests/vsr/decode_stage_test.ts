import assert from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { Weights } from "../../src/nn/weights.ts";
import { decodeStage, NonFiniteError } from "../../src/vsr/decode_stage.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signal } from "../generated.ts";
import { trackBuffers } from "./_track_buffers.ts";

const MODEL = new URL("../../weights/nano", import.meta.url).pathname;

gpuTest(
  "decodeStage() throws at a frame that is not finite, after handing out those before it",
  async (gpu) => {
    using buffers = trackBuffers();
    const model = await openModelFolder(MODEL);
    using source = await model.openWeights("vae");
    const weights = new Weights(gpu, new WeightView(source), "vae");
    const decoder = new VAEDecoder(weights, model.configs.vae);
    await weights.load();
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
          /^Cannot write frame 2: [1-9]\d* of its decoded values are NaN or infinite/,
        );
        return true;
      },
    );
    assert.deepEqual(sizes, [[20, 16, 960], [20, 16, 960]]);
    weights.free();
    assert.deepEqual([...buffers.live].map((b) => b.label), latents.map((t) => t.label));
  },
);
