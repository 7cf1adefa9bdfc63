// deno-lint-ignore-file no-console -- the counts of a run are part of its result

import fc from "fast-check";
import assert from "node:assert/strict";
import { cpuUsage } from "node:process";

/** Processor time that one case may take; nearly all take less than a millisecond. */
const CASE_LIMIT_MS = 2000;

/** What a fuzz test needs. */
export interface Fuzz<Case> {
  /** Cases to run, unless DGAF_FUZZ_COUNT says otherwise. */
  readonly count: number;
  readonly cases: fc.Arbitrary<Case>;
  /** Runs one case and returns what became of it, "accepted" or why not; throws where the outcome is wrong. */
  readonly run: (value: Case) => Promise<string>;
}

/**
 * A test that runs many generated cases, each within two seconds of processor time, prints how many came out how, and
 * wants some accepted and most refused. DGAF_FUZZ_SEED and DGAF_FUZZ_COUNT choose other cases and more of them.
 */
export function fuzzTest<Case>(name: string, { count, cases, run }: Fuzz<Case>): void {
  Deno.test(name, async () => {
    const seed = setting("DGAF_FUZZ_SEED", 1), numRuns = setting("DGAF_FUZZ_COUNT", count);
    const outcomes = new Map<string, number>();
    let slowestMs = 0;
    const property = fc.asyncProperty(cases, async (value) => {
      const started = cpuUsage();
      const outcome = await run(value);
      const { user, system } = cpuUsage(started);
      const elapsedMs = (user + system) / 1000;
      assert.ok(
        elapsedMs < CASE_LIMIT_MS,
        `${elapsedMs} ms of processor time, wanted less than ${CASE_LIMIT_MS}`,
      );
      slowestMs = Math.max(slowestMs, elapsedMs);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    });
    await fc.assert(property, { seed, numRuns });
    const accepted = outcomes.get("accepted") ?? 0;
    console.log(
      `${numRuns} cases of seed ${seed}: ${accepted} accepted, ${numRuns - accepted} refused, ` +
        `slowest ${slowestMs.toFixed(1)} ms`,
    );
    outcomes.delete("accepted");
    for (const [outcome, times] of [...outcomes].sort(([, a], [, b]) => b - a)) {
      console.log(`${String(times).padStart(8)} ${outcome}`);
    }
    if (numRuns >= count) assert.ok(accepted > 0 && accepted < numRuns / 2, "too few accepted or refused");
  });
}

/** Fails where `message` could do more to a terminal than print lines. */
export function assertPrintable(message: string): void {
  assert.doesNotMatch(message, /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
}

/** The label of the pattern that matches `message`; fails where there is none. */
export function reasonOf(message: string, reasons: Readonly<Record<string, RegExp>>): string {
  const found = Object.entries(reasons).find(([, pattern]) => pattern.test(message));
  assert.ok(found, `no known reason: ${message}`);
  return found[0];
}

function setting(name: string, fallback: number): number {
  const text = Deno.env.get(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  assert.ok(Number.isSafeInteger(value) && value > 0, `${name} is "${text}", wanted a whole number above 0`);
  return value;
}
