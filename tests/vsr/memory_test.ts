import assert from "node:assert/strict";
import { parseDGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import { parseUNetConfig } from "../../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { type DType, Tensor } from "../../src/gpu/tensor.ts";
import { DGAFNet } from "../../src/models/dgafnet.ts";
import { UNet } from "../../src/models/unet.ts";
import { VAEDecoder } from "../../src/models/vae.ts";
import { generatedWeights } from "../generated_weights.ts";
import { loadIndex } from "../golden_file.ts";

// The paper's code takes 16.6 GB for 320×180 → 1280×720. Here nothing is allocated: recordings are laid out only.
const HEIGHT = 180, WIDTH = 320;
const CASES = new Map(loadIndex().map((entry) => [entry.name, entry]));
/** Limits of a common GPU; the planner asks for nothing else. */
const GPU = {
  facts: { software: false, subgroupSize: 32, maxBindingBytes: 2 ** 31 - 4, maxBufferBytes: 2 ** 31 - 4 },
} as unknown as Gpu;

function arenaBytes(rec: Recorder, outputs: Tensor[]): number {
  return rec.layout(outputs).plan.arenas.reduce((a, b) => a + b, 0);
}

/** GPU bytes of a guided frame-step of the full-size model. */
function sampleBytes(precision: DType): number {
  const { config, dgafnet_config } = CASES.get("unet_full_dgafnet")!;
  const weights = ["unet.", "dgafnet."].map((prefix) => generatedWeights(GPU, { prefix, precision }));
  const unet = new UNet(weights[0]!, parseUNetConfig(config, "unet"));
  const dgafnet = new DGAFNet(weights[1]!, parseDGAFNetConfig(dgafnet_config, "dgafnet"));
  const z = new Tensor([1, HEIGHT, WIDTH, 4], "z"), y = new Tensor([1, HEIGHT, WIDTH, 3], "y");
  const sinusoid = new Tensor([1, 1, 256], "sinusoid"), context = new Tensor([1, 77, 1024], "context");
  const rec = new Recorder(GPU);
  const guidance = dgafnet.forward(rec, [z, y, new Tensor(z.shape, "g")], { sinusoid, conditioningScale: 1 });
  const output = unet.forward(rec, [z, y], { sinusoid, context, guidance });
  return arenaBytes(rec, [output]) + weights.reduce((sum, w) => sum + w.byteLength, 0);
}

function decodeBytes(): number {
  const weights = generatedWeights(GPU, { prefix: "vae." });
  const decoder = new VAEDecoder(weights, parseVAEConfig(CASES.get("vae_full_decode")!.config, "vae"));
  const rec = new Recorder(GPU);
  return arenaBytes(rec, [decoder.forward(rec, new Tensor([1, HEIGHT, WIDTH, 4], "z"))]) + weights.byteLength;
}

Deno.test("the full-size model needs at most 5.5 GB of GPU memory for 1280×720, and 3 GB with f16 weights", () => {
  const f32 = sampleBytes("f32"), f16 = sampleBytes("f16"), decode = decodeBytes();
  assert.ok(f32 > 3e9 && f32 <= 5.5e9, `f32: ${f32} bytes`);
  assert.ok(f16 > 1.5e9 && f16 <= 3e9, `f16: ${f16} bytes`);
  assert.ok(decode > 1e8 && decode <= 3e9, `decoder: ${decode} bytes`);
});
