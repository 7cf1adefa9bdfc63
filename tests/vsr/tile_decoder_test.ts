import assert from "node:assert/strict";
import { BufferMeter } from "../../bench/buffer_meter.ts";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { Scheduler } from "../../src/diffusion/scheduler.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { flowWarp } from "../../src/kernels/flow_warp.ts";
import type { VAEDecoder } from "../../src/models/vae.ts";
import { flowShape } from "../../src/vsr/flows.ts";
import { FrameStore } from "../../src/vsr/frame_store.ts";
import { initialSettings } from "../../src/vsr/memory_limit.ts";
import { planMemory } from "../../src/vsr/memory_plan.ts";
import { loadNetwork, loadTemporal, openOutline } from "../../src/vsr/networks.ts";
import { PhiloxNoise } from "../../src/vsr/noise.ts";
import { sampleStage } from "../../src/vsr/sample_stage.ts";
import { pictureOfTiles, recordTiles, tileBegins, TileDecoder } from "../../src/vsr/tile_decoder.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { signalFrame } from "./_signal_frame.ts";
import { withStableVSR } from "./_stablevsr_folder.ts";

const SIZE = { width: 12, height: 10 }, SHAPE = [1, 10, 12, 4], TILE = 8, STEPS = 2;

Deno.test("tileBegins() covers the axis with even overlaps of a quarter or more", () => {
  assert.deepEqual(tileBegins(40, 64), [0]);
  assert.deepEqual(tileBegins(64, 64), [0]);
  assert.deepEqual(tileBegins(65, 64), [0, 1]);
  assert.deepEqual(tileBegins(320, 128), [0, 96, 192]);
  for (let size = 33; size < 400; size++) {
    const begins = tileBegins(size, 32);
    assert.equal(begins[0], 0);
    assert.equal(begins.at(-1), size - 32);
    const gaps = begins.slice(1).map((begin, i) => begin - begins[i]!);
    assert.ok(Math.max(...gaps) <= 24, `${size}: ${gaps}`);
    // Else three tiles would share a pixel while they fade, and weights would not sum to one.
    assert.ok(gaps.length < 2 || Math.min(...gaps) >= 8, `${size}: ${gaps}`);
  }
});

gpuTest(
  "sampleStage() aligns the picture of StableVSR's estimate in tiles, within the memory planned for that",
  (gpu) =>
    withStableVSR(async (path) => {
      const model = await openModelFolder(path);
      using frames = new FrameStore(gpu, signalFrame(0, SIZE));
      for (const i of [0, 1]) await frames.add(signalFrame(i, SIZE));
      const flow = (name: string) => signalTensor(gpu, name, flowShape(SIZE, 1), 6)[0];
      const flows = { forward: [flow("forward")], backward: [flow("backward")] };

      using meter = new BufferMeter();
      using unet = await loadNetwork(gpu, { model, part: "unet" });
      using vae = await loadNetwork(gpu, { model, part: "vae" });
      const decoder = () => Promise.resolve(vae.network);
      using temporal = await loadTemporal(gpu, { model, vae: decoder, tile: TILE });
      const { data, shape } = await model.readEmptyPrompt();
      const context = gpu.tensor([1, ...shape], "prompt", data);
      using noise = await PhiloxNoise.create(gpu, 7, SHAPE);
      const networks = { unet: unet.network, temporal: temporal.module, context };
      let neighbour: Float32Array = new Float32Array(), heldBytes = 0, guided = 0;
      const latents = await sampleStage(gpu, networks, {
        frames,
        flows,
        noise,
        scheduler: new Scheduler(model.configs.scheduler),
        steps: STEPS,
        conditioningScale: 1,
        async onStep({ step, frame, clean, guide }) {
          heldBytes = meter.bytes;
          if (guide) {
            guided++;
            const motion = step % 2 === 0 ? flows.forward[frame - 1]! : flows.backward[frame]!;
            const expected = await alignedPicture(gpu, vae.network, { neighbour, motion });
            assert.deepEqual(await gpu.read(guide), expected, `guide of frame ${frame} in step ${step}`);
          }
          neighbour = await gpu.read(clean);
        },
      });
      assert.equal(guided, 2);

      using outline = await openOutline(gpu, model);
      const plan = planMemory(gpu, outline, {
        clip: { ...SIZE, bitDepths: [8, 8] },
        steps: STEPS,
        text: { shapes: [shape], encoded: 0 },
        settings: { ...initialSettings(gpu, { precision: "f32" }), tile: TILE },
      });
      const { weights, derived, plans, inputs } = plan.stages.find(({ stage }) => stage === "sample")!;
      const latentBytes = latents.reduce((sum, { storage }) => sum + storage.byteLength, 0);
      assert.equal(heldBytes, weights + derived + plans + inputs + latentBytes);
      for (const tensor of [...latents, context, ...flows.forward, ...flows.backward]) gpu.free(tensor);
    }),
);

/** What must guide a frame whose neighbour's estimate is `neighbour`. */
async function alignedPicture(
  gpu: Gpu,
  decoder: VAEDecoder,
  { neighbour, motion }: { readonly neighbour: Float32Array; readonly motion: Tensor },
): Promise<Float32Array> {
  const tiling = { decoder, tile: TILE };
  const picture = pictureOfTiles(SHAPE, tiling)!, latent = gpu.tensor(SHAPE, "estimate", neighbour);
  gpu.allocate(picture);
  using tiles = await TileDecoder.create(
    gpu,
    recordTiles(tiling, { shape: SHAPE, picture }, () => new Recorder(gpu)),
  );
  for (const step of tiles.steps(latent)) {
    gpu.submit((encoder) => typeof step === "function" ? step(encoder) : step.encode(encoder));
  }
  const [warped] = await evaluate(gpu, (rec) => flowWarp(rec, picture, motion, { label: "warp" }));
  for (const tensor of [picture, latent]) gpu.free(tensor);
  return warped!;
}
