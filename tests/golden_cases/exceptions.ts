import assert from "node:assert/strict";
import { assertAllClose, assertGolden } from "../_assert.ts";
import type { GoldenCase, GoldenTensor } from "../golden_file.ts";
import { everyNth } from "./run.ts";

/** Cases of features that do not exist yet, by what they show. The suite prints them. */
export const PENDING: readonly {
  readonly feature: string;
  matches(entry: GoldenCase): boolean;
}[] = [
  { feature: "perceptual metrics", matches: ({ network }) => network === "metrics" },
];

/** Networks whose results must be equal to the last bit. */
export const EXACT: ReadonlySet<string> = new Set(["generated"]);

/** Every tensor that is not compared by the rule of `assertGolden()`, with the reason. */
export const SPECIAL: readonly {
  readonly reason: string;
  matches(entry: GoldenCase, tensor: string): boolean;
  compare(actual: ArrayLike<number>, golden: GoldenTensor, at: { label: string; maxRel: number }): void;
}[] = [
  {
    reason:
      "the last bit of exp decides the float32 sinusoid: entries at t = 999 differ by up to one spacing of t",
    matches: ({ network }) => network === "timestep_embedding",
    compare: (actual, { data }, { label }) => assertAllClose(actual, data, { atol: 6.2e-5, label }),
  },
  {
    reason: "8-bit frames round: at most one level off, in less than 0.1 % of the values",
    matches: ({ network }, tensor) => network === "pipeline" && tensor === "frames_8bit",
    compare: (actual, { data }, { label }) => assertFrames(actual, data, label),
  },
  {
    reason: "the pipeline computes flows only where OGWM reads them: every fourth pixel of the ×4 frames",
    matches: ({ network }, tensor) => network === "pipeline" && tensor.startsWith("flow."),
    compare: (actual, { data, shape }, { label, maxRel }) => {
      assertGolden(actual, everyNth(data, shape, 4), maxRel, label);
    },
  },
];

/** Compares 8-bit frames: at most one level off, in less than 0.1 % of the values. */
export function assertFrames(actual: ArrayLike<number>, golden: ArrayLike<number>, label: string): void {
  assertAllClose(actual, golden, { atol: 1, label });
  let different = 0;
  for (let i = 0; i < golden.length; i++) if (actual[i] !== golden[i]) different++;
  assert.ok(different < 0.001 * golden.length, `${label}: ${different} of ${golden.length} values differ`);
}
