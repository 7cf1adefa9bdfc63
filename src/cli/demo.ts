import { fileURLToPath } from "node:url";
import { compare } from "./compare.ts";
import type { Reporter } from "./progress.ts";
import { upscale } from "./upscale.ts";

const FRAMES = fileURLToPath(new URL("../../demo/frames", import.meta.url));
const GROUND_TRUTH = fileURLToPath(new URL("../../demo/ground_truth", import.meta.url));
const UPSCALED = fileURLToPath(new URL("../../demo/upscaled", import.meta.url));

/** Upscales the bundled clip with the bundled model, and prints how near it comes to the true frames. */
export async function demo(reporter: Reporter): Promise<void> {
  await upscale({
    command: "upscale",
    input: FRAMES,
    output: UPSCALED,
    model: undefined,
    steps: undefined,
    seed: 42,
    conditioningScale: undefined,
    device: undefined,
    precision: "f32",
    allowCpu: true,
    progress: "auto",
    quiet: false,
    overwrite: true,
  }, reporter);
  await compare({ command: "compare", input: UPSCALED, reference: GROUND_TRUTH, lowResolution: FRAMES });
}
