/** Where a tensor's bytes are. Views of one tensor share it. */
export interface Storage {
  /** Size in bytes, a multiple of 8. */
  readonly byteLength: number;
  /** Set once memory exists: at upload for persistent tensors, when a plan is finished for virtual ones. */
  buffer: GPUBuffer | null;
  /** Set instead of `buffer` for a tensor that is kept in a texture. */
  texture?: GPUTexture | null;
  /** First byte inside `buffer`, a multiple of 256. */
  byteOffset: number;
}

/** How values are stored. Shaders always compute in f32; "f16" values are packed in pairs, and only weights are. */
export type DType = "f32" | "f16";

/** Values of a tensor in memory: of "f32" themselves, of "f16" their bits. */
export type StoredValues = Float32Array | Uint16Array;

/** How values are stored, and whether in a texture. */
export type StorageKind = DType | `${DType}_texture`;

/** `vec4`s in a row of a texture that holds a tensor; wgsl/lib/weight_*_texture.wgsl have the same number. */
export const TEXTURE_ROW = 512;

/** Bytes of four values. */
export const VEC4_BYTES = { f32: 16, f16: 8 } as const;

/**
 * A block of values on the GPU: shape, label and storage, no methods that compute.
 *
 * The last axis (channels) is stored padded with zeros to a multiple of 4, all others densely, row-major, so
 * that shaders read `vec4`s. Feature maps are [N, H, W, C], token sequences [N, L, C].
 */
export class Tensor {
  readonly shape: readonly number[];
  readonly label: string;
  readonly dtype: DType;
  /** Whether it is kept in a texture, which software adapters read faster; only weights may be, and as a whole. */
  readonly inTexture: boolean;
  readonly storage: Storage;

  constructor(
    shape: readonly number[],
    label: string,
    { dtype = "f32", inTexture = false, storage }: {
      readonly dtype?: DType;
      readonly inTexture?: boolean;
      readonly storage?: Storage;
    } = {},
  ) {
    if (shape.length === 0 || shape.some((d) => !Number.isSafeInteger(d) || d < 1)) {
      throw new RangeError(`Cannot make tensor "${label}": shape [${shape}] needs positive integers`);
    }
    const vec4s = vec4Count(shape);
    const stored = inTexture ? TEXTURE_ROW * Math.ceil(vec4s / TEXTURE_ROW) : vec4s;
    const byteLength = VEC4_BYTES[dtype] * stored;
    if (storage && storage.byteLength !== byteLength) {
      throw new RangeError(
        `Cannot view "${label}" as [${shape}]: storage has ${storage.byteLength} bytes, the shape needs ${byteLength}`,
      );
    }
    this.shape = shape;
    this.label = label;
    this.dtype = dtype;
    this.inTexture = inTexture;
    this.storage = storage ?? { byteLength, buffer: null, byteOffset: 0 };
  }

  /** Size of axis `axis`; negative counts from the end. */
  size(axis: number): number {
    const size = this.shape.at(axis);
    if (size === undefined) {
      throw new RangeError(`Cannot read axis ${axis} of "${this.label}": shape is [${this.shape}]`);
    }
    return size;
  }

  /** `vec4`s per position: channels / 4, rounded up. */
  get channels4(): number {
    return Math.ceil(this.size(-1) / 4);
  }

  /** All `vec4`s of the tensor. */
  get vec4s(): number {
    return vec4Count(this.shape);
  }

  /** How its values are stored. */
  get storageKind(): StorageKind {
    return this.inTexture ? `${this.dtype}_texture` : this.dtype;
  }

  /** Bytes of a `vec4`. */
  get vec4Bytes(): 16 | 8 {
    return VEC4_BYTES[this.dtype];
  }

  /** The same bytes under another shape with as many channels, e.g. [N, H, W, C] as [N, H·W, C]. */
  reshape(shape: readonly number[]): Tensor {
    if (shape.at(-1) !== this.size(-1)) {
      throw new RangeError(
        `Cannot reshape "${this.label}" [${this.shape}] to [${shape}]: channels must stay`,
      );
    }
    return new Tensor(shape, this.label, this);
  }
}

/** `vec4`s that a tensor of this shape takes. */
export function vec4Count(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((a, b) => a * b, 1) * Math.ceil((shape.at(-1) ?? 1) / 4);
}

/** Pads the last axis of row-major `data` with zeros to a multiple of 4. Length: product of `shape`. */
export function padChannels<T extends StoredValues>(data: T, shape: readonly number[]): T {
  const channels = shape.at(-1) ?? 1;
  const stride = 4 * Math.ceil(channels / 4);
  const rows = data.length / channels;
  if (!Number.isInteger(rows) || rows * stride !== 4 * vec4Count(shape)) {
    throw new RangeError(`Cannot pad channels: ${data.length} values do not fill shape [${shape}]`);
  }
  if (stride === channels) return data;
  const padded = new (data.constructor as new (length: number) => T)(rows * stride);
  for (let r = 0; r < rows; r++) padded.set(data.subarray(r * channels, (r + 1) * channels), r * stride);
  return padded;
}

/** The inverse of `padChannels`. */
export function dropPadding(padded: Float32Array, shape: readonly number[]): Float32Array {
  const channels = shape.at(-1) ?? 1;
  const stride = 4 * Math.ceil(channels / 4);
  if (stride === channels) return padded;
  const rows = padded.length / stride;
  const data = new Float32Array(rows * channels);
  for (let r = 0; r < rows; r++) {
    data.set(padded.subarray(r * stride, r * stride + channels), r * channels);
  }
  return data;
}

/** Values rounded to f16. Throws `RangeError`, which names the tensor `label`, where one becomes infinite. */
export function toHalves(data: Float32Array, label: string): Float16Array {
  const halves = new Float16Array(data);
  const large = halves.findIndex((v) => !Number.isFinite(v));
  if (large >= 0) {
    throw new RangeError(
      `Cannot store "${label}" as f16: it holds ${data[large]}, beyond 65504; use precision f32`,
    );
  }
  return halves;
}
