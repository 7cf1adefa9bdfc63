import { gpuTest } from "./_gpu_test.ts";
import { blockRunners } from "./golden_cases/blocks.ts";
import { PENDING } from "./golden_cases/exceptions.ts";
import { assertHalfGolden, HALF_TOLERANCES } from "./golden_cases/half_precision.ts";
import { networkRunners } from "./golden_cases/networks.ts";
import { pipelineRunners } from "./golden_cases/pipelines.ts";
import { textNetworkRunners } from "./golden_cases/text.ts";
import { type GoldenCase, loadCase, loadIndex, tensorOf } from "./golden_file.ts";

// Scores of about 60 turn a rounding of 5e-4 in the weights into 3e-2 in the exponent: 8 times the block's tolerance.
const PEAKED = { case: "attention_self_peaked", tolerance: 8e-3 };

// Their inputs are not weights: nothing is stored as f16.
const WITHOUT_WEIGHTS = ["GroupNorm", "LayerNorm", "flow_warp", "ogwm", "resample", "timestep_embedding"];

const RUNNERS = { ...blockRunners, ...networkRunners, ...pipelineRunners, ...textNetworkRunners };

for (const entry of loadIndex()) {
  const runner = RUNNERS[entry.network];
  if (!runner || WITHOUT_WEIGHTS.includes(entry.network) || PENDING.some((p) => p.matches(entry))) continue;
  gpuTest(`golden ${entry.name} with weights stored as f16`, async (gpu) => {
    const golden = loadCase(entry.name);
    const computed = await runner(gpu, { ...golden, case: { ...entry, precision: "f16" } });
    for (const [name, values] of computed) {
      if (entry.tensors[name]!.role === "output" && name !== "frames_8bit") {
        compare(entry, name, { values, golden });
      }
    }
  });
}

function compare(
  entry: GoldenCase,
  name: string,
  { values, golden }: { values: ArrayLike<number>; golden: ReturnType<typeof loadCase> },
): void {
  const { data } = tensorOf(golden, name);
  if (values.length !== data.length) return; // flows are computed at lower density; what they lead to is compared
  const tolerance = entry.name === PEAKED.case ? PEAKED.tolerance : HALF_TOLERANCES[entry.group]!;
  assertHalfGolden(values, data, { tolerance, label: `${entry.name}: ${name}` });
}
