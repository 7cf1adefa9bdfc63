import type { Activation } from "../../src/kernels/activation.ts";

/** The activation functions by name. */
export const activations: Readonly<Record<Activation, (v: number) => number>> = {
  none: (v) => v,
  relu: (v) => Math.max(v, 0),
  silu: (v) => v / (1 + Math.exp(-v)),
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
  tanh: Math.tanh,
  gelu: (v) => v * 0.5 * (1 + erf(v / Math.SQRT2)),
  quick_gelu: (v) => v / (1 + Math.exp(-1.702 * v)),
};

/** erf by its Taylor series, within 1e-10 up to 4; beyond, where 1 - erf is below 2e-8, plus or minus 1. */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x);
  let term = x, sum = x;
  for (let k = 1; k < 200; k++) {
    term *= -x * x / k;
    sum += term / (2 * k + 1);
  }
  return 2 / Math.sqrt(Math.PI) * sum;
}
