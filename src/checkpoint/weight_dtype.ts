/** Element types that weights may have, for messages; all convert to float32 exactly. */
export const WANTED_DTYPES = "F32, F16 or BF16";
/** One of them. */
export type WeightDType = "F32" | "F16" | "BF16";

/** Whether weights may have elements of `dtype`. */
export function isWeightDType(dtype: string): dtype is WeightDType {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** Elements of `dtype` as float32, exactly. `bytes` own their buffer, which the result may share. */
export function toFloat32(dtype: WeightDType, { buffer }: Uint8Array<ArrayBuffer>): Float32Array {
  // Every platform of Deno is little-endian, as the files are.
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F16") return new Float32Array(new Float16Array(buffer));
  const halves = new Uint16Array(buffer);
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** What is wrong with `data` as weights: its first element that is NaN or infinite; null where all are finite. */
export function nonFiniteProblem(data: Float32Array): string | null {
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    return `element ${i} is ${data[i]}, wanted finite weights; get the file again from the model's source`;
  }
  return null;
}
