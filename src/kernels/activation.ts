import source from "../../wgsl/lib/activation.wgsl" with { type: "text" };

/** Text of the shader library with the activation functions. */
export const activationLibrary: string = source;

/** Numbers of the activation functions in `wgsl/lib/activation.wgsl`; `gelu` is the exact one with erf. */
export const ACTIVATIONS = {
  none: 0,
  relu: 1,
  silu: 2,
  sigmoid: 3,
  tanh: 4,
  gelu: 5,
  quick_gelu: 6,
} as const;

/** Name of an activation function. */
export type Activation = keyof typeof ACTIVATIONS;
