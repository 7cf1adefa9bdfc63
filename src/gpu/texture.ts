import { type DType, TEXTURE_ROW, VEC4_BYTES } from "./tensor.ts";

/** A texel is a `vec4` of f32, or four packed f16. */
export const TEXTURE_FORMATS: Readonly<Record<DType, "rgba32float" | "rg32uint">> = {
  f32: "rgba32float",
  f16: "rg32uint",
};

/** The texture that tensors of up to `byteLength` bytes need, whole rows. */
export function textureDescriptor(
  { dtype, label, byteLength }: {
    readonly dtype: DType;
    readonly label: string;
    readonly byteLength: number;
  },
): GPUTextureDescriptor {
  return {
    size: [TEXTURE_ROW, byteLength / textureRowBytes(dtype)],
    format: TEXTURE_FORMATS[dtype],
    usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.COPY_SRC,
    label,
  };
}

/** Bytes of a texture that `textureDescriptor()` described for f32. */
export function textureBytes({ height }: GPUTexture): number {
  return height * textureRowBytes("f32");
}

function textureRowBytes(dtype: DType): number {
  return TEXTURE_ROW * VEC4_BYTES[dtype];
}

/** Copies whole `vec4`s into the texture of a tensor, from its byte `byteOffset` on, a multiple of a `vec4`'s. */
export function writeTexture(
  queue: GPUQueue,
  texture: GPUTexture,
  { data, byteOffset = 0, vec4Bytes }: {
    readonly data: Uint8Array<ArrayBuffer>;
    readonly byteOffset?: number;
    readonly vec4Bytes: number;
  },
): void {
  const bytesPerRow = TEXTURE_ROW * vec4Bytes;
  for (let from = 0; from < data.byteLength;) {
    const at = byteOffset + from, column = at % bytesPerRow, left = data.byteLength - from;
    const whole = column === 0 && left >= bytesPerRow;
    const bytes = whole ? left - left % bytesPerRow : Math.min(left, bytesPerRow - column);
    const size = whole ? [TEXTURE_ROW, bytes / bytesPerRow] : [bytes / vec4Bytes, 1];
    const origin = [column / vec4Bytes, Math.floor(at / bytesPerRow)];
    queue.writeTexture({ texture, origin }, data.subarray(from, from + bytes), { bytesPerRow }, size);
    from += bytes;
  }
}

/** Overwrites a buffer, or a texture that holds a tensor, with one word. */
export function fillMemory(device: GPUDevice, target: GPUBuffer | GPUTexture, word: number): void {
  if (target instanceof GPUBuffer) {
    device.queue.writeBuffer(target, 0, new Uint32Array(target.size / 4).fill(word));
    return;
  }
  const vec4Bytes = VEC4_BYTES[dtypeOf(target)];
  const words = new Uint32Array(target.width * target.height * vec4Bytes / 4).fill(word);
  writeTexture(device.queue, target, { data: new Uint8Array(words.buffer), vec4Bytes });
}

/** Copies all rows of a texture that holds a tensor. */
export function copyTexture(encoder: GPUCommandEncoder, texture: GPUTexture, to: GPUBuffer): void {
  const bytesPerRow = textureRowBytes(dtypeOf(texture));
  encoder.copyTextureToBuffer({ texture }, { buffer: to, bytesPerRow }, [texture.width, texture.height]);
}

function dtypeOf({ format }: GPUTexture): DType {
  return format === TEXTURE_FORMATS.f32 ? "f32" : "f16";
}
