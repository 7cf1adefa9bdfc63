import assert from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import type { Frame } from "../../src/media/frame.ts";
import type { UpscaleOptions } from "../../src/vsr/clip_settings.ts";
import { flowStage } from "../../src/vsr/flow_stage.ts";
import { flowShape } from "../../src/vsr/flows.ts";
import { FrameStore } from "../../src/vsr/frame_store.ts";
import { JobFolder } from "../../src/vsr/job_folder.ts";
import { loadNetwork } from "../../src/vsr/networks.ts";
import type { Progress } from "../../src/vsr/progress.ts";
import { flowStepOf } from "../../src/vsr/temporal_module.ts";
import { Upscaler } from "../../src/vsr/upscaler.ts";
import { gpuTest } from "../_gpu_test.ts";
import { everyNth } from "../golden_cases/run.ts";
import { withTempDir } from "../media/with_temp_dir.ts";
import { alwaysDue } from "./_always_due.ts";
import { signalFrame } from "./_signal_frame.ts";
import { withStableVSR } from "./_stablevsr_folder.ts";

const NANO = new URL("../../weights/nano", import.meta.url).pathname;
const SIZE = { width: 20, height: 14 };
const CLIP = [0, 1, 2].map((i) => signalFrame(i, SIZE));
const SETTINGS = { steps: 2, seed: 7 };

/** The frames that an upscaler makes of the clip. */
async function upscaledBy(upscaler: Upscaler, options: UpscaleOptions): Promise<Frame["data"][]> {
  return await Array.fromAsync(upscaler.upscale(CLIP, options), ({ data }) => data);
}

Deno.test("flowStepOf() is 4 for DGAFNet, 1 for ControlNet and null for neither", () =>
  withStableVSR(async (folder) => {
    const dgaf = (await openModelFolder(NANO)).configs, stable = (await openModelFolder(folder)).configs;
    assert.equal(flowStepOf(dgaf), 4);
    assert.equal(flowStepOf(stable), 1);
    assert.equal(flowStepOf({ ...stable, controlnet: null }), null);
  }));

gpuTest(
  "flowStage() makes the flow of every pixel where that is wanted, with the sparse one in it",
  async (gpu) => {
    const model = await openModelFolder(NANO);
    using frames = new FrameStore(gpu, CLIP[0]!);
    for (const frame of CLIP.slice(0, 2)) await frames.add(frame);
    using raft = await loadNetwork(gpu, { model, part: "flow" });
    const dense = await flowStage(gpu, raft.network, { frames, step: 1 });
    const sparse = await flowStage(gpu, raft.network, { frames });
    for (const direction of ["forward", "backward"] as const) {
      const [large] = dense[direction], [small] = sparse[direction];
      assert.deepEqual(large!.shape, [1, 56, 40, 4]);
      assert.deepEqual(large!.shape, flowShape(SIZE, 1));
      assert.deepEqual(small!.shape, flowShape(SIZE, 4));
      assert.deepEqual(everyNth(await gpu.read(large!), [1, 56, 80, 2], 4), await gpu.read(small!));
      gpu.free(large!);
      gpu.free(small!);
    }
  },
);

Deno.test("Upscaler.upscale() of a StableVSR model guides, and goes on from flows and latents that a job kept", () =>
  withStableVSR((model) =>
    withTempDir(async (dir) => {
      using upscaler = await Upscaler.open({ model, allowCpu: true });
      const expected = await upscaledBy(upscaler, SETTINGS);
      const unguided = await upscaledBy(upscaler, { ...SETTINGS, conditioningScale: 0 });
      assert.notDeepEqual(unguided, expected);
      using dgaf = await Upscaler.open({ model: NANO, allowCpu: true });
      assert.deepEqual(
        await upscaledBy(dgaf, { ...SETTINGS, conditioningScale: 0 }),
        unguided,
        "the same UNet alone",
      );
      const manifest = await upscaler.manifest({}, SETTINGS);
      assert.ok(Object.hasOwn(manifest.model, "controlnet/config.json"));
      assert.ok(Object.hasOwn(manifest.model, "controlnet/diffusion_pytorch_model.safetensors"));

      using _ = alwaysDue();
      await using job = await JobFolder.open(dir, ["0", "1", "2"]);
      await job.begin(manifest);
      async function until(isEnough: (event: Progress) => boolean) {
        const controller = new AbortController(), events: Progress[] = [], reason = new Error("enough");
        function onProgress(event: Progress): void {
          events.push(event);
          if (isEnough(event)) controller.abort(reason);
        }
        const options = { ...SETTINGS, job, onProgress, signal: controller.signal };
        const frames = await Array.fromAsync(upscaler.upscale(CLIP, options), ({ data }) => data)
          .catch((error) => assert.equal(error, reason));
        return { frames, first: events[0]! };
      }
      await until(({ stage, done }) => stage === "flow" && done === 1);
      const second = await until(({ stage, done }) => stage === "sample" && done === 1);
      assert.deepEqual([second.first.stage, second.first.done], ["flow", 1]);
      const { first, frames } = await until(() => false);
      assert.equal(first.stage, "sample");
      assert.ok(first.done >= 1, `${first.done} frame-steps`);
      assert.deepEqual(frames, expected);
    })
  ));
