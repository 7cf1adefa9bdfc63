import assert from "node:assert/strict";
import { assertGolden } from "./_assert.ts";
import { gpuTest } from "./_gpu_test.ts";
import { blockRunners } from "./golden_cases/blocks.ts";
import { EXACT, PENDING, SPECIAL } from "./golden_cases/exceptions.ts";
import { networkRunners } from "./golden_cases/networks.ts";
import { pipelineRunners } from "./golden_cases/pipelines.ts";
import type { CaseRunner } from "./golden_cases/run.ts";
import { scheduleRunners } from "./golden_cases/schedules.ts";
import { textNetworkRunners, textRunners } from "./golden_cases/text.ts";
import { type GoldenCase, loadCase, loadIndex, maxRelOf, tensorOf } from "./golden_file.ts";

const RUNNERS: Record<string, CaseRunner> = {
  ...blockRunners,
  ...networkRunners,
  ...pipelineRunners,
  ...scheduleRunners,
  ...textNetworkRunners,
  ...textRunners,
};

for (const entry of loadIndex()) {
  const pending = PENDING.find((p) => p.matches(entry));
  if (pending) {
    Deno.test(`golden ${entry.name} is pending: ${pending.feature}`, () => {
      assert.ok(!(entry.network in RUNNERS), `"${entry.name}" has a runner: take it off the list`);
    });
    continue;
  }
  gpuTest(`golden ${entry.name}`, async (gpu) => {
    const runner = RUNNERS[entry.network];
    if (!runner) throw new Error(`No test runs golden case "${entry.name}" (network "${entry.network}")`);
    const golden = loadCase(entry.name);
    const computed = await runner(gpu, golden);
    for (const [name, { role }] of Object.entries(entry.tensors)) {
      if (role !== "output" || computed.has(name)) continue;
      assert.fail(`output "${name}" was not computed`);
    }
    for (const [name, values] of computed) compareTensor(entry, name, { values, golden });
  });
}

function compareTensor(
  entry: GoldenCase,
  name: string,
  { values, golden }: { values: ArrayLike<number>; golden: ReturnType<typeof loadCase> },
): void {
  const expected = tensorOf(golden, name), label = `${entry.name}: ${name}`;
  const special = SPECIAL.find((s) => s.matches(entry, name));
  if (special) {
    const error = entry.float32_error[name];
    return special.compare(values, expected, {
      label,
      maxRel: error && "max_rel" in error ? error.max_rel : 0,
    });
  }
  const kept = keptChannels(values, entry.tensors[name]!);
  if (EXACT.has(entry.network) || expected.dtype === "int64" || expected.dtype === "uint8") {
    assert.deepEqual(Array.from(kept), Array.from(expected.data), label);
  } else {
    assertGolden(kept, expected.data, maxRelOf(golden, name), label);
  }
}

/** Large intermediates are stored with their first channels only. */
function keptChannels(
  values: ArrayLike<number>,
  { shape, channels }: GoldenCase["tensors"][string],
): ArrayLike<number> {
  if (!channels) return values;
  const [from, to, of] = channels;
  const [n = 1, , h = 1, w = 1] = shape;
  const size = h * w, all = Array.from(values);
  return Array.from({ length: n }, (_, i) => all.slice((i * of + from) * size, (i * of + to) * size)).flat();
}
