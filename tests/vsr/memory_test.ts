import assert from "node:assert/strict";
import { parseCLIPTextConfig } from "../../src/checkpoint/clip_text_config.ts";
import { parseControlNetConfig } from "../../src/checkpoint/controlnet_config.ts";
import { parseDGAFNetConfig } from "../../src/checkpoint/dgafnet_config.ts";
import type { ModelConfigs } from "../../src/checkpoint/model_configs.ts";
import type { ModelPart } from "../../src/checkpoint/model_folder.ts";
import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { parseUNetConfig } from "../../src/checkpoint/unet_config.ts";
import { parseVAEConfig } from "../../src/checkpoint/vae_config.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { CLIPTextModel } from "../../src/models/clip_text.ts";
import type { WeightOptions } from "../../src/nn/weights.ts";
import {
  fitMemory,
  type FittedPlan,
  initialSettings,
  type MemoryWishes,
} from "../../src/vsr/memory_limit.ts";
import { planMemory, type TextOutline } from "../../src/vsr/memory_plan.ts";
import { BUILDERS, type ModelOutline } from "../../src/vsr/networks.ts";
import { generatedWeights } from "../generated_weights.ts";
import { loadIndex } from "../golden_file.ts";

const CASES = new Map(loadIndex().map((entry) => [entry.name, entry]));
/** Tokens and channels of a prompt. */
const PROMPT = [77, 1024] as const;
/** Limits of a common GPU; planning asks for nothing else. */
const GPU = {
  facts: {
    software: false,
    subgroupSize: 32,
    maxBindingBytes: 2 ** 31 - 4,
    maxBufferBytes: 2 ** 31 - 4,
    maxWorkgroupBytes: 32_768,
    maxInvocations: 256,
  },
  tuning: { answers: new Map(), budgetMs: 0 },
} as unknown as Gpu;

/** The full-size model, of which there are no weights here. */
function fullSize(temporal: "dgafnet" | "controlnet"): ModelOutline {
  const { config, dgafnet_config, controlnet_config } = CASES.get(`unet_full_${temporal}`)!;
  const configs = {
    unet: parseUNetConfig(config, "unet"),
    dgafnet: dgafnet_config ? parseDGAFNetConfig(dgafnet_config, "dgafnet") : null,
    controlnet: controlnet_config ? parseControlNetConfig(controlnet_config, "controlnet") : null,
    flow: parseRAFTConfig(CASES.get("raft_large")!.config, "flow"),
    vae: parseVAEConfig(CASES.get("vae_full_decode")!.config, "vae"),
  } as ModelConfigs;
  function build<P extends ModelPart>(part: P, options: WeightOptions) {
    const weights = generatedWeights(GPU, { prefix: `${part}.`, ...options });
    return { network: BUILDERS[part](weights, configs), weights } as ReturnType<typeof outline.build<P>>;
  }
  function buildTextEncoder(prompts: number, options: WeightOptions) {
    const weights = generatedWeights(GPU, { prefix: "text_encoder.", ...options });
    const config = parseCLIPTextConfig(CASES.get("clip_text_full_empty_prompt")!.config, "text_encoder");
    const ids = Array<number>(PROMPT[0]).fill(0);
    return { network: new CLIPTextModel(weights, config, Array(prompts).fill(ids)), weights };
  }
  const outline: ModelOutline = { configs, buildTextEncoder, build };
  return outline;
}

/** 24 frames from 320×180 to 1280×720. */
const CLIP = { height: 180, width: 320, bitDepths: Array<8>(24).fill(8) };

/** A prompt that is encoded already. */
const TEXT: TextOutline = { shapes: [PROMPT], encoded: 0 };

/** The plan for the clip. */
function plan(
  wishes: Partial<MemoryWishes> = {},
  { temporal = "dgafnet", text = TEXT }: {
    temporal?: "dgafnet" | "controlnet";
    text?: TextOutline;
  } = {},
): FittedPlan {
  return fitMemory(GPU, fullSize(temporal), {
    clip: CLIP,
    steps: 30,
    text,
    wishes: { precision: "f32", vaeTiling: false, ...wishes },
  });
}

/** GPU memory of each stage in GB. */
function gigabytes({ stages }: FittedPlan): Record<string, number> {
  return Object.fromEntries(stages.map(({ stage, total }) => [stage, total / 1e9]));
}

function assertBetween(value: number | undefined, least: number, most: number): void {
  assert.ok(value! >= least && value! <= most, `${value} GB, ${least} to ${most} wanted`);
}

// The paper's code takes 16.6 GB for this.
Deno.test("the full-size model needs at most 5.5 GB of GPU memory for 1280×720, and 3 GB with f16 weights", () => {
  const f32 = gigabytes(plan()), f16 = gigabytes(plan({ precision: "f16" }));
  assertBetween(f32.flow, 0.5, 1);
  assertBetween(f32.sample, 4.5, 5.5);
  assertBetween(f32.decode, 2, 2.5);
  assertBetween(f16.sample, 2.5, 3);
});

Deno.test("the full-size model fits into 3 GB with f16 weights, into less only with smaller frames", () => {
  const wishes = { precision: "f16", maxGpuMemory: 3e9 } as const;
  assert.deepEqual(plan(wishes).measures, []);
  assert.throws(
    () => plan({ ...wishes, maxGpuMemory: 2e9 }),
    /Use frames of at most \d+ x \d+, or allow \d\.\d+GB/,
  );
});

// Its authors' code takes 14.5 GB for this. 24 frames have 0.3 GB of flows.
Deno.test("full-size StableVSR needs at most 6.4 GB of GPU memory for 1280×720, and 4.3 GB with f16 weights", () => {
  const f32 = gigabytes(plan({}, { temporal: "controlnet" })),
    f16 = gigabytes(plan({ precision: "f16" }, { temporal: "controlnet" }));
  assertBetween(f32.sample, 6, 6.4);
  assertBetween(f16.sample, 4, 4.3);
});

Deno.test("full-size StableVSR needs 1 GB less where it decodes in tiles of 512 pixels", () => {
  const settings = { ...initialSettings(GPU, { precision: "f16" }), tile: 128 };
  const { stages } = planMemory(GPU, fullSize("controlnet"), { clip: CLIP, steps: 30, text: TEXT, settings });
  assertBetween(stages.find(({ stage }) => stage === "sample")!.total / 1e9, 3, 3.3);
});

// Two evaluations of the UNet share their memory, and DGAFNet runs once for both. A batch of two would take 1.2 GB more.
Deno.test("text guidance takes full-size models at most 0.25 GB more of GPU memory, and the encoder 1.2 GB before", () => {
  for (const temporal of ["dgafnet", "controlnet"] as const) {
    const free = plan({}, { temporal }),
      guided = plan({}, { temporal, text: { shapes: [PROMPT, PROMPT], encoded: 2 } });
    assertBetween(gigabytes(guided).sample! - gigabytes(free).sample!, 0.01, 0.25);
    assertBetween(gigabytes(guided).text, 1.1, 1.2);
    assert.ok(guided.stages.at(-2)!.flops > 1.2 * free.stages.at(-2)!.flops);
  }
});
