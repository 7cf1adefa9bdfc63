import { BUNDLED } from "./bundled.ts";
import { compare } from "./compare.ts";
import type { Reporter } from "./progress.ts";
import { upscale } from "./upscale.ts";

/** Upscales the bundled clip with the bundled model, and prints how near it comes to the true frames. */
export async function demo(
  context: { readonly reporter: Reporter; readonly signal: AbortSignal },
): Promise<void> {
  const { demoFrames, demoUpscaled, demoGroundTruth, model } = BUNDLED;
  await upscale({
    command: "upscale",
    input: demoFrames,
    output: demoUpscaled,
    model,
    flow: undefined,
    temporal: undefined,
    steps: undefined,
    scheduler: undefined,
    prompt: undefined,
    negativePrompt: undefined,
    guidanceScale: undefined,
    noiseLevel: undefined,
    seed: 42,
    conditioningScale: undefined,
    device: undefined,
    precision: "f32",
    maxGpuMemory: undefined,
    vaeTiling: false,
    tuning: "auto",
    allowCpu: true,
    progress: "auto",
    quiet: false,
    overwrite: true,
    noResume: false,
  }, context);
  await compare({
    command: "compare",
    input: demoUpscaled,
    reference: demoGroundTruth,
    lowResolution: demoFrames,
  });
}
