import source from "../../wgsl/layer_norm.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

/** Software adapters pay dearly for barriers: there a row belongs to one invocation. */
const ALONE = { LANES: 1, ROWS: 32 };
const SHARED = { LANES: 16, ROWS: 4 };

/** Normalisation of rows over their channels. */
export const layerNormKernel: Kernel = defineKernel({
  name: "layer_norm",
  source,
  bindings: { x: "read", weight: "read", bias: "read", y: "write" },
  params: {
    rows: "u32",
    channels: "u32",
    has_weight: "u32",
    has_bias: "u32",
    eps: "f32",
    x_offset: "u32",
    y_offset: "u32",
  },
  variants: [ALONE, SHARED],
});

/** Options of `layerNorm()`. */
export interface LayerNormOptions {
  /** [1, C]. */
  readonly weight?: Tensor | undefined;
  /** [1, C]. */
  readonly bias?: Tensor | undefined;
  /** Added to the variance. */
  readonly eps: number;
  readonly label: string;
}

/**
 * Normalises `x` [..., C] at each position over the channels, by the biased variance. Returns a tensor of the same
 * shape. Throws `RangeError` where `weight` or `bias` does not fit.
 */
export function layerNorm(rec: Recorder, x: Tensor, options: LayerNormOptions): Tensor {
  const { weight, bias, eps, label } = options;
  const channels = x.size(-1), { channels4 } = x;
  for (const values of [weight, bias]) {
    if (values) assertShape(values, [1, channels], { kernel: "layer_norm", label });
  }
  const y = rec.tensor(x.shape, label);
  const constants = rec.gpu.facts.software ? ALONE : SHARED;
  const bands = rowBands({
    batch: 1,
    height: x.vec4s / channels4,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [{ total: x.storage.byteLength, band: (rows) => 16 * rows * channels4 }],
    label,
  });
  for (const { rowBegin, rows } of bands) {
    const from = rowBegin * channels4, to = (rowBegin + rows) * channels4;
    const input = slice(x, from, to), output = slice(y, from, to);
    rec.run(layerNormKernel, {
      label,
      constants,
      bindings: { x: input, weight: weight ?? null, bias: bias ?? null, y: output },
      params: {
        rows,
        channels,
        has_weight: weight ? 1 : 0,
        has_bias: bias ? 1 : 0,
        eps,
        x_offset: from - input.base,
        y_offset: from - output.base,
      },
      workgroups: spread(Math.ceil(rows / constants.ROWS)),
    });
  }
  return y;
}
