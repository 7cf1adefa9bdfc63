import type { ModelFolder } from "../../src/checkpoint/model_folder.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { encodePrompts } from "../../src/vsr/encode_prompts.ts";
import type { Layout } from "../../tools/checkpoint_layouts.ts";
import { assertGolden } from "../_assert.ts";
import { type Golden, loadCase, loadSingleCase, maxRelOf, tensorOf } from "../golden_file.ts";
import { assertHalfGolden, HALF_TOLERANCES } from "./half_precision.ts";
import { networkRunners } from "./networks.ts";
import type { Computed } from "./run.ts";

/** Cases whose networks have the sizes and the weights of generated checkpoints; the text encoder's where there is one. */
const CASES: Record<"full" | "small", Record<Layout, readonly (() => Golden)[]>> = {
  full: {
    dgaf: [() => loadCase("unet_full_dgafnet"), () => loadCase("raft_large_12")],
    stablevsr: [() => loadCase("unet_full_controlnet")],
    x4: [
      // Made as the index's cases are, but too long for every run of the tests: a full-size UNet with class 20.
      () => loadSingleCase("x4/unet_full_class"),
      () => loadCase("vae_full_decode"),
      () => loadCase("clip_text_full_empty_prompt"),
    ],
  },
  small: {
    dgaf: [() => loadCase("unet_tiny_dgafnet")],
    stablevsr: [() => loadCase("unet_tiny_controlnet")],
    x4: [() => loadCase("unet_tiny_class"), () => loadCase("vae_tiny_decode")],
  },
};

/**
 * Computes frame-steps and other forward passes with the networks of a generated checkpoint, as the program builds and
 * loads them from its folder, and compares the outputs with the goldens. With f16 their tolerance is that of weights
 * stored as f16. Returns the names of the cases.
 */
export async function assertCheckpointGoldens(
  gpu: Gpu,
  model: ModelFolder,
  { layout, small, precision }: {
    readonly layout: Layout;
    readonly small: boolean;
    readonly precision: "f32" | "f16";
  },
): Promise<string[]> {
  const names: string[] = [];
  for (const load of CASES[small ? "small" : "full"][layout]) {
    const golden = load(), { case: entry } = golden;
    const computed = entry.network === "clip_text"
      ? await encodedPrompt(gpu, model, precision)
      : await networkRunners[entry.network]!(gpu, { ...golden, case: { ...entry, model, precision } });
    for (const [name, values] of computed) {
      if (entry.tensors[name]!.role !== "output") continue;
      const { data } = tensorOf(golden, name), label = `${entry.name} from files: ${name}`;
      if (precision === "f32") {
        assertGolden(values, data, maxRelOf(golden, name), label);
      } else {
        assertHalfGolden(values, data, { tolerance: HALF_TOLERANCES[entry.group]!, label });
      }
    }
    names.push(entry.name);
  }
  return names;
}

/** What the checkpoint's text encoder makes of the empty prompt. */
async function encodedPrompt(gpu: Gpu, model: ModelFolder, precision: "f32" | "f16"): Promise<Computed> {
  const [embedding] = await encodePrompts(gpu, model.textEncoder!, { prompts: [""], precision });
  return new Map([["y", embedding!.data]]);
}
