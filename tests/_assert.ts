// Comparison of arrays of numbers in tests. NaN never passes.

/** How far two numbers may be apart: `|actual - expected| <= atol + rtol * |expected|`. */
export interface Tolerance {
  readonly rtol: number;
  readonly atol: number;
}

/** Tolerances for values of order one, by the type the tested code stores and adds in. */
export const TOLERANCE = {
  /** Double precision against double precision: a few hundred roundings of 1.1e-16 in another order. */
  f64: { rtol: 1e-13, atol: 1e-13 },
  /**
   * f32 storage and sums against a double-precision oracle. One rounding is 6e-8; a sum of 4,608 products
   * (512 channels, 3x3) gathers about √4608 · 6e-8 = 4e-6, and WGSL allows some more for `exp` and division.
   */
  f32: { rtol: 1e-5, atol: 1e-5 },
  /**
   * f32 convolution by Winograd's F(4×4, 3×3), whose transforms add and subtract what is larger than the result. Against
   * float64 its largest error on values of order one was 5e-6 for 64 and for 256 channels. Its RMS error was 8.4e-7
   * and 8.9e-7, 2.1 and 1.1 times the direct kernel's, which does not add in blocks. Four times the largest error.
   */
  winograd: { rtol: 2e-5, atol: 2e-5 },
  /**
   * f16 storage with f32 sums against an oracle that got the same f16 inputs: one rounding of the result is
   * 2⁻¹¹ = 4.9e-4 of it, and intermediates that pass through f16 add a few more.
   */
  f16: { rtol: 2e-3, atol: 2e-3 },
} as const satisfies Record<string, Tolerance>;

/** Room that another float32 implementation gets over the reference's own float32 error. */
const GOLDEN_ROOM = 8;
/** Smallest float32 error a golden is taken to have; a lucky reference is no measure for others. */
const GOLDEN_LEAST_REL = 5e-7;
/** Values shown on each side of the first bad one. */
const NEIGHBOURS = 3;

/**
 * Fails unless every `actual[i]` is within `atol + rtol * |expected[i]|` of `expected[i]`.
 *
 * Lengths must be equal. NaN fails on either side; infinities pass only where they are equal.
 * `rtol` and `atol` are 0 if left out: exact equality.
 */
export function assertAllClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  options: Partial<Tolerance> & { label?: string } = {},
): void {
  const { rtol = 0, atol = 0, label = "values" } = options;
  assertSameLength(actual, expected, label);
  let firstBad = -1;
  let badCount = 0;
  let maxError = 0;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (a === e) continue;
    const error = Math.abs(a - e);
    if (!(error <= maxError)) maxError = error;
    if (error <= atol + rtol * Math.abs(e) && error < Infinity) continue;
    if (firstBad < 0) firstBad = i;
    badCount++;
  }
  if (badCount === 0) return;
  throw new Error(
    `${label}: ${badCount} of ${expected.length} differ by more than ${atol} + ${rtol} * |expected|, ` +
      `max abs error ${maxError}\n${around(actual, expected, firstBad)}`,
  );
}

/**
 * Fails unless `actual` equals a golden tensor as well as another float32 implementation can.
 *
 * Passes when max|actual - golden| <= 8 * max(`maxRel`, 5e-7) * max|golden|, where `maxRel` is the reference's
 * own float32 error (`float32_error.*.max_rel` of the index). The scale is the tensor's, not the element's:
 * values near zero carry the absolute error of their neighbours. Returns the share of the tolerance that was
 * used, from 0 to 1.
 */
export function assertGolden(
  actual: ArrayLike<number>,
  golden: ArrayLike<number>,
  maxRel: number,
  label: string,
): number {
  assertSameLength(actual, golden, label);
  let scale = 0;
  for (let i = 0; i < golden.length; i++) {
    const magnitude = Math.abs(golden[i]!);
    if (!(magnitude <= scale)) scale = magnitude;
  }
  const atol = GOLDEN_ROOM * Math.max(maxRel, GOLDEN_LEAST_REL) * scale;
  if (golden.length === 0 || !Number.isFinite(atol)) {
    throw new Error(`Cannot compare "${label}": ${golden.length} values up to ${scale}, max_rel ${maxRel}`);
  }
  assertAllClose(actual, golden, { atol, label });
  let worst = 0;
  for (let i = 0; i < golden.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - golden[i]!));
  return worst === 0 ? 0 : worst / atol;
}

function assertSameLength(actual: ArrayLike<number>, expected: ArrayLike<number>, label: string): void {
  if (actual.length !== expected.length) {
    throw new Error(`${label}: ${actual.length} values, expected ${expected.length}`);
  }
}

function around(actual: ArrayLike<number>, expected: ArrayLike<number>, index: number): string {
  const lines = [];
  const end = Math.min(expected.length, index + NEIGHBOURS + 1);
  for (let i = Math.max(0, index - NEIGHBOURS); i < end; i++) {
    lines.push(`  ${i === index ? ">" : " "} [${i}] actual ${actual[i]}, expected ${expected[i]}`);
  }
  return lines.join("\n");
}
