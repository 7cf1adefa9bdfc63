import packSource from "../../wgsl/pack_pixels.wgsl" with { type: "text" };
import unpackSource from "../../wgsl/unpack_pixels.wgsl" with { type: "text" };
import { defineKernel, type Kernel } from "../gpu/kernel.ts";
import { slice } from "../gpu/dispatch.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { flatChunks, spread } from "./bands.ts";
import { assertShape, imageShape } from "./shape.ts";

const WORKGROUP = 64;
const VARIANTS = [{ BITS: 8 }, { BITS: 16 }];

/** Integer pixels to floats. */
export const unpackPixelsKernel: Kernel = defineKernel({
  name: "unpack_pixels",
  source: unpackSource,
  bindings: { packed: "read", y: "write" },
  params: { begin: "u32", count: "u32", packed_base: "u32" },
  variants: VARIANTS,
});

/** Floats to integer pixels. */
export const packPixelsKernel: Kernel = defineKernel({
  name: "pack_pixels",
  source: packSource,
  bindings: { x: "read", packed: "write" },
  params: { begin: "u32", end: "u32", samples: "u32", x_base: "u32", packed_base: "u32" },
  variants: VARIANTS,
});

/** A picture as integers: RGB interleaved, row-major samples of 8 or 16 bits. */
export interface PixelFormat {
  readonly height: number;
  readonly width: number;
  readonly bitDepth: 8 | 16;
}

/**
 * Shape [1, words] of the tensor that holds a picture's bytes: little-endian samples, as they lie in a `Uint8Array` or
 * `Uint16Array`, then zeros up to a multiple of 16 bytes. Written with `Gpu.writeRaw()`, read with `Gpu.readRaw()`.
 */
export function packedPixelsShape({ height, width, bitDepth }: PixelFormat): [number, number] {
  return [1, 4 * Math.ceil(height * width * 3 * bitDepth / 128)];
}

/**
 * Floats [1, height, width, 3] from -1 to 1 of a picture's bytes: v / 127.5 - 1, with 16 bits v / 32767.5 - 1.
 * `packed` has the shape of `packedPixelsShape()`. Throws `RangeError` where it has another.
 */
export function unpackPixels(
  rec: Recorder,
  packed: Tensor,
  options: PixelFormat & { readonly label: string },
): Tensor {
  const { height, width, bitDepth, label } = options;
  assertShape(packed, packedPixelsShape(options), { kernel: "unpack_pixels", label });
  const y = rec.tensor([1, height, width, 3], label);
  for (const { from, to } of flatChunks(y.vec4s, rec.gpu.facts.maxBindingBytes)) {
    const source = slice(packed, vec4At(from, bitDepth), vec4At(to, bitDepth));
    rec.run(unpackPixelsKernel, {
      label,
      constants: { BITS: bitDepth },
      bindings: { packed: source, y: slice(y, from, to) },
      params: { begin: from, count: to - from, packed_base: source.base },
      workgroups: spread(Math.ceil((to - from) / WORKGROUP)),
    });
  }
  return y;
}

/**
 * A picture's bytes, in the shape of `packedPixelsShape()`, of floats `x` [1, h, w, 3]: -1 becomes 0, 1 the highest
 * level, values beyond are clamped, halves go to the even level. What NaN becomes is up to the GPU; `finiteCheck()`
 * finds it. Throws `RangeError` for another shape.
 */
export function packPixels(
  rec: Recorder,
  x: Tensor,
  { bitDepth, label }: { readonly bitDepth: 8 | 16; readonly label: string },
): Tensor {
  const where = { kernel: "pack_pixels", label };
  const [, height, width] = imageShape(x, where);
  assertShape(x, [1, height, width, 3], where);
  const packed = rec.tensor(packedPixelsShape({ height, width, bitDepth }), label);
  for (const { from, to } of flatChunks(x.vec4s, rec.gpu.facts.maxBindingBytes)) {
    const source = slice(x, from, to);
    const target = slice(packed, vec4At(from, bitDepth), vec4At(to, bitDepth));
    const begin = 4 * vec4At(from, bitDepth), end = 4 * vec4At(to, bitDepth);
    rec.run(packPixelsKernel, {
      label,
      constants: { BITS: bitDepth },
      bindings: { x: source, packed: target },
      params: { begin, end, samples: 3 * x.vec4s, x_base: source.base, packed_base: target.base },
      workgroups: spread(Math.ceil((end - begin) / WORKGROUP)),
    });
  }
  return packed;
}

/** The packed vec4 at which a pixel begins; chunks begin at multiples of 16 pixels, which are whole vec4s. */
function vec4At(pixel: number, bitDepth: 8 | 16): number {
  return Math.ceil(pixel * 3 * bitDepth / 128);
}
