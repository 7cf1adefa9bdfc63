import assert from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { WeightView } from "../../src/checkpoint/weight_view.ts";
import { Scheduler } from "../../src/diffusion/scheduler.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { readFrame } from "../../src/media/frame_folder.ts";
import { DGAFNet } from "../../src/models/dgafnet.ts";
import { RAFT } from "../../src/models/raft.ts";
import { UNet } from "../../src/models/unet.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { Weights } from "../../src/nn/weights.ts";
import { decodeStage } from "../../src/vsr/decode_stage.ts";
import { flowStage } from "../../src/vsr/flow_stage.ts";
import { FrameStore } from "../../src/vsr/frame_store.ts";
import { sampleStage } from "../../src/vsr/sample_stage.ts";
import { LatentGuide } from "../../src/vsr/temporal_module.ts";
import { assertGolden } from "../_assert.ts";
import { fromFlowPairs } from "../_flow_pairs.ts";
import { gpuTest, toChannelsLast } from "../_gpu_test.ts";
import { signal } from "../generated.ts";
import { assertFrames } from "../golden_cases/exceptions.ts";
import { readPlanar } from "../golden_cases/run.ts";
import { readTensors } from "../golden_file.ts";

const ROOT = new URL("../../", import.meta.url);
const INFO = JSON.parse(Deno.readTextFileSync(new URL("tests/golden/nano/nano.json", ROOT)));

// golden/README.md gives the bundled model the pipelines' tolerance: 4e-5 of the largest value.
const MAX_REL = 4e-5 / 8;

gpuTest("the bundled model reproduces the reference on real frames", async (gpu) => {
  const golden = readTensors(Deno.readFileSync(new URL("tests/golden/nano/nano.safetensors", ROOT)));
  const model = await openModelFolder(new URL("weights/nano", ROOT).pathname);
  const { configs } = model;

  async function load<N>(part: "unet" | "vae" | "dgafnet" | "flow", build: (w: Weights) => N): Promise<N> {
    using source = await model.openWeights(part);
    const weights = new Weights(gpu, new WeightView(source), part);
    const network = build(weights);
    await weights.load();
    return network;
  }

  function compare(name: string, values: ArrayLike<number>): void {
    assertGolden(values, golden.get(name)!.data, MAX_REL, name);
  }

  const frames = await storeFrames(gpu, INFO.frames);
  const { height, width, count } = frames;

  const flows = await flowStage(gpu, await load("flow", (w) => new RAFT(w, configs.flow!)), { frames });
  for (const direction of ["forward", "backward"] as const) {
    const values: number[] = [];
    for (const flow of flows[direction]) values.push(...fromFlowPairs(await gpu.read(flow), width));
    compare(`flow.${direction}`, values);
  }

  const { data, shape } = await model.readEmptyPrompt();
  const networks = {
    unet: await load("unet", (w) => new UNet(w, configs.unet)),
    temporal: new LatentGuide(await load("dgafnet", (w) => new DGAFNet(w, configs.dgafnet!))),
    context: gpu.tensor([1, ...shape], "prompt", data),
  };
  const scheduler = new Scheduler(configs.scheduler);
  assert.deepEqual(scheduler.timesteps(INFO.steps), INFO.timesteps);
  const channels = configs.unet.out_channels, size = channels * height * width;
  const start = signal("nano.latents", [count, channels, height, width]);
  const noise = signal("nano.noise", [INFO.steps, count, channels, height, width]);
  const after: Float32Array[] = [], clean: Float32Array[] = [];
  const latents = await sampleStage(gpu, networks, {
    frames,
    flows,
    noise: {
      fill(target: Tensor, { frame, stream }) {
        const at = stream === 0 ? frame * size : ((stream - 1) * count + frame) * size;
        const values = (stream === 0 ? start : noise).subarray(at, at + size);
        gpu.write(target, toChannelsLast(values, [1, channels, height, width]));
      },
    },
    scheduler,
    steps: INFO.steps,
    conditioningScale: INFO.conditioning_scale,
    onStep: async ({ step, frame, latent, clean: x0 }) => {
      after[step * count + frame] = await readPlanar(gpu, latent);
      clean[step * count + frame] = await readPlanar(gpu, x0);
    },
  });
  compare("latents_after", after.flatMap((v) => [...v]));
  compare("x0", clean.flatMap((v) => [...v]));

  const planes: number[] = [];
  const decoder = await load("vae", (w) => new VAEDecoder(w, configs.vae));
  for await (const { data, width, height } of decodeStage(gpu, decoder, { latents, bitDepth: () => 8 })) {
    for (let c = 0; c < 3; c++) for (let p = 0; p < width * height; p++) planes.push(data[3 * p + c]!);
  }
  assertFrames(planes, golden.get("frames_8bit")!.data, "frames_8bit");
});

async function storeFrames(gpu: Gpu, names: readonly string[]): Promise<FrameStore> {
  let store: FrameStore | undefined;
  for (const name of names) {
    const path = new URL(`demo/frames/${name}`, ROOT).pathname;
    const frame = await readFrame({ path, stem: name, format: "png" });
    store ??= new FrameStore(gpu, frame);
    await store.add(frame);
  }
  return store!;
}
