import { deepStrictEqual, ok } from "node:assert/strict";
import { runAlone } from "../../bench/run_alone.ts";
import type { CheckpointCost, CheckpointRun } from "../../bench/run_checkpoint.ts";
import { generateCheckpoint } from "../../tools/generate_checkpoint.ts";
import { withTempDir } from "../media/with_temp_dir.ts";

Deno.test("run_checkpoint.ts upscales with a generated checkpoint and says what each part of it took", () =>
  withTempDir(async (model) => {
    const precision = "f16";
    await generateCheckpoint(model, { layout: "dgaf", precision, encoder: false, small: true });
    const settings: CheckpointRun = { model, precision, frames: 2, width: 16, height: 12, steps: 2 };
    const cost = await runAlone<CheckpointCost>("run_checkpoint.ts", settings);

    const units = cost.stages.map(({ stage, units }) => [stage, units]);
    deepStrictEqual(units, [["flow", 1], ["sample", 4], ["decode", 2]]);
    const times = cost.stages.flatMap(({ beginMs, endMs }) => [beginMs, endMs]);
    deepStrictEqual(times, times.toSorted((a, b) => a - b));
    ok(times[0]! > 0 && times.at(-1)! <= cost.clipMs, `${times} of ${cost.clipMs} ms`);
    deepStrictEqual(Object.keys(cost.loadMs), ["flow", "unet", "dgafnet", "vae"]);
    ok(Object.values(cost.loadMs).every((ms) => ms > 0));
    // The plan counts what a job keeps on disk, too.
    ok(cost.gpuBytes > 0.9 * cost.plannedBytes && cost.gpuBytes <= cost.plannedBytes, JSON.stringify(cost));
    ok(cost.hostBytes > 0);
  }));
