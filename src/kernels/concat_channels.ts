import source from "../../wgsl/concat_channels.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, spread } from "./bands.ts";
import { assertShape } from "./shape.ts";

const WORKGROUP = 64;

/** Concatenation along channels. */
export const concatChannelsKernel: Kernel = defineKernel({
  name: "concat_channels",
  source,
  bindings: { a: "read", b: "read", c: "read", d: "read", y: "write" },
  params: {
    begin: "u32",
    count: "u32",
    a_channels: "u32",
    b_channels: "u32",
    c_channels: "u32",
    d_channels: "u32",
    a_base: "u32",
    b_base: "u32",
    c_base: "u32",
    d_base: "u32",
    y_base: "u32",
  },
  variants: [{ ALIGNED: 0 }, { ALIGNED: 1 }],
});

/**
 * Puts the channels of two to four tensors [..., C1], [..., C2], ... one after the other, without gaps whatever their
 * counts. Returns [..., C1 + C2 + ...]. Throws `RangeError` for other counts of tensors or where their other axes
 * differ.
 */
export function concatChannels(
  rec: Recorder,
  parts: readonly Tensor[],
  { label }: { readonly label: string },
): Tensor {
  const [a, b, c, d] = parts;
  if (!a || !b || parts.length > 4) {
    throw new RangeError(`Cannot run concat_channels "${label}": ${parts.length} tensors, wanted 2 to 4`);
  }
  const leading = a.shape.slice(0, -1);
  for (const part of parts) {
    assertShape(part, [...leading, part.size(-1)], { kernel: "concat_channels", label });
  }
  const channels = parts.map((part) => part.size(-1));
  const y = rec.tensor([...leading, channels.reduce((sum, count) => sum + count)], label);
  const aligned = channels.slice(0, -1).every((count) => count % 4 === 0);
  const bands = rowBands({
    batch: 1,
    height: y.vec4s / y.channels4,
    maxBindingBytes: rec.gpu.facts.maxBindingBytes,
    label,
    tensors: [{ total: y.storage.byteLength, band: (positions) => 16 * y.channels4 * positions }],
  });
  for (const { rowBegin: begin, rows: count } of bands) {
    const range = (t: Tensor) => slice(t, begin * t.channels4, (begin + count) * t.channels4);
    const bound = { a: range(a), b: range(b), c: c ? range(c) : null, d: d ? range(d) : null, y: range(y) };
    rec.run(concatChannelsKernel, {
      label,
      constants: { ALIGNED: aligned ? 1 : 0 },
      bindings: bound,
      params: {
        begin,
        count,
        a_channels: a.size(-1),
        b_channels: b.size(-1),
        c_channels: c?.size(-1) ?? 0,
        d_channels: d?.size(-1) ?? 0,
        a_base: bound.a.base,
        b_base: bound.b.base,
        c_base: bound.c?.base ?? 0,
        d_base: bound.d?.base ?? 0,
        y_base: bound.y.base,
      },
      workgroups: spread(Math.ceil(count * y.channels4 / WORKGROUP)),
    });
  }
  return y;
}
