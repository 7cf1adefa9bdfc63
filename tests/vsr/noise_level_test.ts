import assert from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { Scheduler } from "../../src/diffusion/scheduler.ts";
import { decodeStage } from "../../src/vsr/decode_stage.ts";
import { FrameStore } from "../../src/vsr/frame_store.ts";
import { loadNetwork } from "../../src/vsr/networks.ts";
import { PhiloxNoise } from "../../src/vsr/noise.ts";
import { NoisedClip, noiseMix } from "../../src/vsr/noised_clip.ts";
import { sampleStage } from "../../src/vsr/sample_stage.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signalFrame } from "./_signal_frame.ts";
import { withX4, writeJson, X4_INDEX } from "./_x4_folder.ts";

const NANO = new URL("../../weights/nano", import.meta.url).pathname;
const SIZE = { width: 12, height: 8 };
const CLIP = [0, 1].map((i) => signalFrame(i, SIZE));

gpuTest(
  "Upscaler.upscale() of an x4-upscaler noises frames and names the class at its noise level",
  (gpu) =>
    withX4(async (folder) => {
      using upscaler = await Upscaler.open({ model: folder, allowCpu: true });
      const upscaled = (noiseLevel?: number) =>
        Array.fromAsync(upscaler.upscale(CLIP, { seed: 5, steps: 2, noiseLevel }), ({ data }) => data);
      const model = await openModelFolder(folder), { configs } = model;
      using unet = await loadNetwork(gpu, { model, part: "unet" });
      using vae = await loadNetwork(gpu, { model, part: "vae" });
      const { data, shape } = await model.readEmptyPrompt();
      const context = gpu.tensor([1, ...shape], "prompt", data);
      using store = new FrameStore(gpu, SIZE);
      for (const frame of CLIP) await store.add(frame);
      using noise = await PhiloxNoise.create(gpu, 5, [1, SIZE.height, SIZE.width, 4]);
      /** With noise of level `noised` in the frames, and level `label` as the class. */
      async function byHand({ noised, label }: { noised: number | null; label: number }) {
        using clip = noised === null ? null : await NoisedClip.create(gpu, store, {
          seed: 5,
          mix: noiseMix(configs.low_res_scheduler!, noised),
        });
        const latents = await sampleStage(gpu, { unet: unet.network, temporal: null, context }, {
          frames: clip ?? store,
          flows: null,
          noise,
          scheduler: new Scheduler(configs.scheduler),
          steps: 2,
          conditioningScale: 1,
          classLabel: label,
        });
        const frames = decodeStage(gpu, vae.network, { latents, bitDepth: () => 8 });
        const pictures = await Array.fromAsync(frames, ({ data }) => data);
        for (const latent of latents) gpu.free(latent);
        return pictures;
      }
      const level20 = await upscaled();
      assert.deepEqual(level20, await byHand({ noised: 20, label: 20 }));
      assert.deepEqual(await upscaled(20), level20);
      const level50 = await upscaled(50);
      assert.deepEqual(level50, await byHand({ noised: 50, label: 50 }));
      for (
        const other of [{ noised: 50, label: 20 }, { noised: 20, label: 50 }, { noised: null, label: 50 }]
      ) {
        const pictures = await byHand(other);
        assert.notDeepEqual(pictures, level50);
        assert.notDeepEqual(pictures, level20);
      }

      await writeJson(`${folder}/model_index.json`, {
        ...X4_INDEX,
        _class_name: "DGAFVSRPipeline",
        low_res_scheduler: [null, null],
      });
      using plain = await Upscaler.open({ model: folder, allowCpu: true });
      const labelled = plain.upscale(CLIP, { seed: 5, steps: 2, noiseLevel: 50 });
      assert.deepEqual(
        await Array.fromAsync(labelled, ({ data }) => data),
        await byHand({ noised: null, label: 50 }),
      );
      gpu.free(context);
    }),
);

Deno.test("Upscaler.upscale() of an x4-upscaler upscales frames one by one", () =>
  withX4(async (model) => {
    using upscaler = await Upscaler.open({ model, allowCpu: true });
    const both = await Array.fromAsync(upscaler.upscale(CLIP), ({ data }) => data);
    const alone = await Array.fromAsync(upscaler.upscale(CLIP.slice(0, 1)), ({ data }) => data);
    assert.deepEqual(alone, both.slice(0, 1));
    const { stages } = await upscaler.plan({ ...SIZE, bitDepths: [8, 8] });
    assert.deepEqual(stages.map(({ stage }) => stage), ["sample", "decode"]);
    const { model: files, settings } = await upscaler.manifest({});
    assert.ok(Object.hasOwn(files, "low_res_scheduler/scheduler_config.json"));
    assert.equal(settings.noiseLevel, 20);
  }));

Deno.test("Upscaler.settings() takes noise levels up to the model's largest, and none without classes", () =>
  withX4(async (model) => {
    using upscaler = await Upscaler.open({ model, allowCpu: true });
    assert.equal(upscaler.settings().noiseLevel, 20);
    for (const noiseLevel of [0, 50]) assert.equal(upscaler.settings({ noiseLevel }).noiseLevel, noiseLevel);
    for (const noiseLevel of [-1, 51, 0.5, NaN]) {
      assert.throws(
        () => upscaler.settings({ noiseLevel }),
        new RangeError(`Cannot use noise level ${noiseLevel}: an integer from 0 to 50 is wanted`),
      );
    }
    await writeJson(`${model}/model_index.json`, { ...X4_INDEX, max_noise_level: 350 });
    using more = await Upscaler.open({ model, allowCpu: true });
    assert.throws(() => more.settings({ noiseLevel: 64 }), /an integer from 0 to 63 is wanted$/);
    await writeJson(`${model}/model_index.json`, { ...X4_INDEX, max_noise_level: 10 });
    using fewer = await Upscaler.open({ model, allowCpu: true });
    assert.equal(fewer.settings().noiseLevel, 10);

    using nano = await Upscaler.open({ model: NANO, allowCpu: true });
    assert.equal(nano.settings({ noiseLevel: null }).noiseLevel, null);
    assert.throws(
      () => nano.settings({ noiseLevel: 0 }),
      new RangeError("Cannot use noise level 0: this model has no classes and takes none; leave it out"),
    );
  }));
