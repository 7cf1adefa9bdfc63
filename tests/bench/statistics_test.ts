import assert from "node:assert/strict";
import { summarise } from "../../bench/statistics.ts";

for (
  const [durations, minMs, medianMs] of [
    [[3], 3, 3],
    [[5, 1, 3], 1, 3],
    [[4, 1, 2, 10], 1, 3],
    [[10, 9, 100, 2], 2, 9.5],
  ] as const
) {
  Deno.test(`summarise() finds the middle of [${durations}]`, () => {
    assert.deepEqual(summarise(durations), { minMs, medianMs, repeats: durations.length });
  });
}

Deno.test("summarise() refuses no durations, and any that is no time", () => {
  for (const durations of [[], [1, NaN], [-1], [Infinity]]) {
    assert.throws(() => summarise(durations), {
      name: "RangeError",
      message: `Cannot summarise durations: [${durations}], one or more finite numbers wanted`,
    });
  }
});
