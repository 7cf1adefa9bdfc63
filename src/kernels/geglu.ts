import source from "../../wgsl/geglu.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { activationLibrary } from "./activation.ts";
import { rowBands, spread } from "./bands.ts";

const WORKGROUP = 64;

/** First half times GELU of the second half. */
export const gegluKernel: Kernel = defineKernel({
  name: "geglu",
  source,
  library: [activationLibrary],
  bindings: { x: "read", y: "write" },
  params: { rows: "u32", channels: "u32", x_offset: "u32", y_offset: "u32" },
  variants: [1, 2, 3].map((SHIFT) => ({ SHIFT })),
});

/**
 * Gates `x` [..., 2 D]: the first D channels times the exact GELU of the other D. Returns [..., D]. Throws
 * `RangeError` for an odd number of channels.
 */
export function geglu(rec: Recorder, x: Tensor, { label }: { readonly label: string }): Tensor {
  if (x.size(-1) % 2) {
    throw new RangeError(
      `Cannot run geglu "${label}": input [${x.shape}], an even number of channels wanted`,
    );
  }
  const channels = x.size(-1) / 2;
  const y = rec.tensor([...x.shape.slice(0, -1), channels], label);
  const bands = rowBands({
    batch: 1,
    height: x.vec4s / x.channels4,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    tensors: [{ total: x.storage.byteLength, band: (rows) => 16 * rows * x.channels4 }],
    label,
  });
  for (const { rowBegin, rows } of bands) {
    const rowEnd = rowBegin + rows;
    const input = slice(x, rowBegin * x.channels4, rowEnd * x.channels4);
    const output = slice(y, rowBegin * y.channels4, rowEnd * y.channels4);
    rec.run(gegluKernel, {
      label,
      constants: { SHIFT: channels % 4 },
      bindings: { x: input, y: output },
      params: {
        rows,
        channels,
        x_offset: rowBegin * x.channels4 - input.base,
        y_offset: rowBegin * y.channels4 - output.base,
      },
      workgroups: spread(Math.ceil(rows * y.channels4 / WORKGROUP)),
    });
  }
  return y;
}
