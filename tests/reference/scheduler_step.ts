import type { StepCoefficients } from "../../src/diffusion/scheduler.ts";

/** Applies a sampling step element by element in double precision. */
export function schedulerStep(
  coefficients: StepCoefficients,
  inputs: { sample: ArrayLike<number>; output: ArrayLike<number>; noise: ArrayLike<number> },
): { x0: Float64Array; prev: Float64Array } {
  const c = coefficients;
  const { sample, output, noise } = inputs;
  const x0 = new Float64Array(sample.length);
  const prev = new Float64Array(sample.length);
  for (let i = 0; i < sample.length; i++) {
    const z = sample[i]!;
    const o = output[i]!;
    x0[i] = Math.min(Math.max(c.x0FromSample * z + c.x0FromOutput * o, -c.clip), c.clip);
    prev[i] = c.prevFromX0 * x0[i]! + c.prevFromSample * z + c.prevFromOutput * o +
      c.prevFromNoise * noise[i]!;
  }
  return { x0, prev };
}
