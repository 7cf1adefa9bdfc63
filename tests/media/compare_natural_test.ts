import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { compareNatural } from "../../src/media/compare_natural.ts";

Deno.test("compareNatural() orders numbers by value", () => {
  const ordered = ["frame_2.png", "frame_10.png", "frame_10b.png", "frame_90071992547409930.png"];
  deepStrictEqual(ordered.toReversed().sort(compareNatural), ordered);
  strictEqual(compareNatural("90071992547409930", "90071992547409931") < 0, true);
});

Deno.test("compareNatural() compares every number of a name", () => {
  const ordered = ["s1e2", "s1e10", "s2e1", "s10e1"];
  deepStrictEqual(ordered.toReversed().sort(compareNatural), ordered);
});

Deno.test("compareNatural() gives one order for names whose numbers are equal", () => {
  const ordered = ["a01", "a1"];
  deepStrictEqual(["a1", "a01"].sort(compareNatural), ordered);
  deepStrictEqual(["a01", "a1"].sort(compareNatural), ordered);
  strictEqual(compareNatural("a1", "a1"), 0);
});

Deno.test("compareNatural() puts text in code unit order whatever the locale", () => {
  const ordered = ["", "1", "Z", "a", "a.png", "b", "ä"];
  deepStrictEqual(ordered.toReversed().sort(compareNatural), ordered);
});
