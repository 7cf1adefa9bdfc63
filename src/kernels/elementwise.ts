import source from "../../wgsl/elementwise.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;

/** Numbers of the operations in the shader. */
const OPERATIONS = {
  residual_relu: 0,
  multiply: 1,
  gru_update: 2,
  scale: 3,
  add: 4,
  extrapolate: 5,
} as const;

/** Operations on one to three tensors of one shape. */
export const elementwiseKernel: Kernel = defineKernel({
  name: "elementwise",
  source,
  bindings: { a: "read", b: "read", c: "read", y: "write" },
  params: { count: "u32", factor: "f32" },
  variants: Object.values(OPERATIONS).map((OP) => ({ OP })),
});

/** Inputs of `gruUpdate()`, all of one shape. */
export interface GruUpdateOptions {
  /** Hidden state. */
  readonly h: Tensor;
  /** Update gate, 0 to 1. */
  readonly z: Tensor;
  /** Candidate state. */
  readonly q: Tensor;
  readonly label: string;
}

/** The end of a residual block: max(`a` + `b`, 0), of one shape. Throws `RangeError` where they differ. */
export function residualRelu(
  rec: Recorder,
  a: Tensor,
  b: Tensor,
  { label }: { readonly label: string },
): Tensor {
  return elementwise(rec, [a, b], { operation: "residual_relu", label });
}

/** `a` + `b` element by element, of one shape. Throws `RangeError` where they differ. */
export function add(rec: Recorder, a: Tensor, b: Tensor, { label }: { readonly label: string }): Tensor {
  return elementwise(rec, [a, b], { operation: "add", label });
}

/** `a` · `b` element by element, of one shape. Throws `RangeError` where they differ. */
export function multiply(rec: Recorder, a: Tensor, b: Tensor, { label }: { readonly label: string }): Tensor {
  return elementwise(rec, [a, b], { operation: "multiply", label });
}

/** The gated recurrent unit's new state, (1 - z) · h + z · q. Throws `RangeError` where shapes differ. */
export function gruUpdate(rec: Recorder, { h, z, q, label }: GruUpdateOptions): Tensor {
  return elementwise(rec, [h, z, q], { operation: "gru_update", label });
}

/** `x` · `factor`. */
export function scale(
  rec: Recorder,
  x: Tensor,
  { factor, label }: { readonly factor: number; readonly label: string },
): Tensor {
  return elementwise(rec, [x], { operation: "scale", factor, label });
}

/**
 * The point at `factor` on the line through `a`, at 0, and `b`, at 1: a + factor · (b - a). Throws `RangeError` where
 * shapes differ.
 */
export function extrapolate(
  rec: Recorder,
  [a, b]: readonly [Tensor, Tensor],
  { factor, label }: { readonly factor: number; readonly label: string },
): Tensor {
  return elementwise(rec, [a, b], { operation: "extrapolate", factor, label });
}

function elementwise(
  rec: Recorder,
  [a, b, c]: readonly [Tensor, Tensor?, Tensor?],
  { operation, factor = 1, label }: { operation: keyof typeof OPERATIONS; factor?: number; label: string },
): Tensor {
  for (const other of [b, c]) if (other) assertShape(other, a.shape, { kernel: operation, label });
  const y = rec.tensor(a.shape, label);
  for (const { from, to } of flatChunks(y.vec4s, rec.gpu.facts.maxBindingBytes)) {
    rec.run(elementwiseKernel, {
      label,
      constants: { OP: OPERATIONS[operation] },
      bindings: {
        a: slice(a, from, to),
        b: b ? slice(b, from, to) : null,
        c: c ? slice(c, from, to) : null,
        y: slice(y, from, to),
      },
      params: { count: to - from, factor },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return y;
}
