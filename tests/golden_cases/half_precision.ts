import { assertAllClose } from "../_assert.ts";

/**
 * How far outputs may be off with weights stored as f16, relative to their largest value, by the cases' group: what
 * golden/README.md measured for float16 storage and arithmetic in PyTorch.
 */
export const HALF_TOLERANCES: Readonly<Record<string, number>> = {
  blocks: 1e-3,
  networks_tiny: 2.5e-3,
  networks_full: 2.5e-3,
  pipelines: 8e-3,
};

/** Fails unless every value is within `tolerance` times the golden's largest value of the golden's. */
export function assertHalfGolden(
  actual: ArrayLike<number>,
  golden: ArrayLike<number>,
  { tolerance, label }: { readonly tolerance: number; readonly label: string },
): void {
  let scale = 0;
  for (let i = 0; i < golden.length; i++) scale = Math.max(scale, Math.abs(golden[i]!));
  assertAllClose(actual, golden, { atol: tolerance * scale, label });
}
