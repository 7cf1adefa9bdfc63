import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { openModelFolder } from "../../src/checkpoint/model_folder.ts";
import { checkNetworks } from "../../src/vsr/networks.ts";
import { checkpointLayout, LAYOUTS } from "../../tools/checkpoint_layouts.ts";
import { generateCheckpoint, tensorShapes } from "../../tools/generate_checkpoint.ts";
import { gpuTest } from "../_gpu_test.ts";
import { assertCheckpointGoldens } from "../golden_cases/checkpoints.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

/** Values of each part; RAFT's are as many as torchvision states for raft_large. */
const COUNTS = {
  dgaf: { unet: 472_374_020, vae: 55_325_927, dgafnet: 277_052_416, flow: 5_257_536 },
  stablevsr: { unet: 472_374_020, vae: 55_325_927, controlnet: 207_699_264, flow: 5_257_536 },
  x4: { unet: 473_398_020, vae: 55_325_927, text_encoder: 340_387_840 },
};

for (const layout of LAYOUTS) {
  Deno.test(`checkpointLayout() has the full sizes of ${layout}`, () => {
    const { parts } = checkpointLayout(layout, { small: false, encoder: layout === "x4" });
    const counts = Object.entries(parts).map(([part, layout]) => {
      const sizes = [...tensorShapes(layout).values()].map((shape) => shape.reduce((a, b) => a * b, 1));
      return [part, sizes.reduce((a, b) => a + b, 0)];
    });
    deepStrictEqual(Object.fromEntries(counts), COUNTS[layout]);
  });

  gpuTest(
    `generateCheckpoint() writes a model folder of layout ${layout} whose networks equal their goldens`,
    (gpu) =>
      withTempDir(async (folder) => {
        const precision = layout === "dgaf" ? "f16" : "f32", encoder = layout === "stablevsr";
        await generateCheckpoint(folder, { layout, precision, encoder, small: true });
        const model = await openModelFolder(folder);
        await checkNetworks(gpu, model);
        using weights = await model.openWeights("unet");
        strictEqual(weights.dtype("conv_in.weight"), precision.toUpperCase());
        await assertCheckpointGoldens(gpu, model, { layout, precision, small: true });
      }),
  );
}
