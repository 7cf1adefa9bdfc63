import type { Scratch } from "./scratch.ts";

/** Element types that weights may have, for messages; all convert to float32 exactly. */
export const WANTED_DTYPES = "F32, F16 or BF16";
/** One of them. */
export type WeightDType = "F32" | "F16" | "BF16";

/** From here on numbers round to infinity in f16. */
export const HALF_OVERFLOW = 65_520;

/** Weights in memory: F16 as it is, F32 and BF16 as float32. */
export type WeightValues = Float32Array<ArrayBuffer> | Float16Array<ArrayBuffer>;

/** Whether weights may have elements of `dtype`. */
export function isWeightDType(dtype: string): dtype is WeightDType {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** The values of elements of `dtype`, exactly: in the memory of `bytes` or, for BF16, in `scratch`. */
export function decodeWeights(
  dtype: WeightDType,
  { bytes, scratch }: { readonly bytes: Uint8Array<ArrayBuffer>; readonly scratch: Scratch },
): WeightValues {
  const { buffer, byteOffset, byteLength } = bytes;
  // Every platform of Deno is little-endian, as the files are.
  if (dtype === "F32") return new Float32Array(buffer, byteOffset, byteLength / 4);
  if (dtype === "F16") return new Float16Array(buffer, byteOffset, byteLength / 2);
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  const bits = scratch.take(Uint32Array<ArrayBuffer>, halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer, 0, bits.length);
}

/** `values` as float32, exactly: themselves or, for float16, in `scratch`. */
export function toFloat32(values: WeightValues, scratch: Scratch): Float32Array<ArrayBuffer> {
  if (values instanceof Float32Array) return values;
  const floats = scratch.take(Float32Array<ArrayBuffer>, values.length);
  for (let i = 0; i < values.length; i++) floats[i] = values[i]!; // twice as fast as set() in Deno 2.9
  return floats;
}

/** Bits of a float's exponent, all of them set in NaN and infinities. */
const EXPONENT = { 2: 0x7c00, 4: 0x7f80_0000 } as const;

/** Index of the first of `values` that is NaN or infinite; -1 where all are finite. */
export function findNonFinite(values: WeightValues): number {
  const { buffer, byteOffset, length } = values;
  const bits = new (values instanceof Float16Array ? Uint16Array : Uint32Array)(buffer, byteOffset, length);
  const exponent = EXPONENT[bits.BYTES_PER_ELEMENT as 2 | 4];
  for (let i = 0; i < bits.length; i++) {
    if ((bits[i]! & exponent) === exponent) return i;
  }
  return -1;
}
