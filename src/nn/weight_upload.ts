import { CheckpointError } from "../checkpoint/errors.ts";
import { Scratch } from "../checkpoint/scratch.ts";
import { HALF_OVERFLOW, toFloat32 } from "../checkpoint/weight_dtype.ts";
import type { WeightPart } from "../checkpoint/weight_parts.ts";
import type { Gpu } from "../gpu/device.ts";
import { padChannels, type StoredValues, type Tensor } from "../gpu/tensor.ts";

/** A part of a tensor on its way to the GPU. */
export interface PartToPack {
  readonly values: StoredValues;
  /** Index of the first of them in the checkpoint's tensor. */
  readonly begin: number;
  /** Memory for so many values of their type, which hold anything. */
  room(length: number): StoredValues;
  /**
   * Writes values to the GPU's tensor, from its value `at` on, padding counted; whole rows where these are padded. `at` is
   * a multiple of 4.
   */
  write(values: StoredValues, at: number): void;
}

/** How a tensor of the checkpoint is laid out on the GPU. */
export interface Packing {
  readonly shape: readonly number[];
  /** Writes a part. */
  readonly pack: (part: PartToPack) => void;
  /** Each part but the last holds a multiple of so many values; default all values in one part. */
  readonly unit?: number;
  /** Stored at the precision of the weights; everything else is f32. */
  readonly matrix?: boolean;
}

/** Where a part goes. */
export interface UploadTarget extends Pick<Packing, "pack"> {
  readonly tensor: Tensor;
}

/** Brings weights to the GPU part by part, in memory that each part uses again. */
export class WeightUpload {
  readonly #gpu: Gpu;
  readonly #converted = new Scratch();
  readonly #packed = new Scratch();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /**
   * Packs a part for all `targets`, which are of one type, and waits for the GPU where much is queued. Throws
   * CheckpointError for a value that f16 would make infinite.
   */
  async write(part: WeightPart, targets: readonly UploadTarget[]): Promise<void> {
    const { dtype, label } = targets[0]!.tensor;
    const values = dtype === "f16"
      ? toHalves(part, { scratch: this.#converted, label })
      : toFloat32(part.values, this.#converted);
    for (const { tensor, pack } of targets) {
      pack({
        values,
        begin: part.begin,
        room: (length) =>
          dtype === "f16"
            ? this.#packed.take(Uint16Array<ArrayBuffer>, length)
            : this.#packed.take(Float32Array<ArrayBuffer>, length),
        write: (packed, at) => this.#write(tensor, { packed, at }),
      });
    }
    await this.#gpu.flushWrites();
  }

  #write(tensor: Tensor, { packed, at }: { readonly packed: StoredValues; readonly at: number }): void {
    const channels = tensor.size(-1);
    const padded = channels % 4 ? padChannels(packed, [packed.length / channels, channels]) : packed;
    this.#gpu.writeRaw(tensor, padded, { byteOffset: at * padded.BYTES_PER_ELEMENT });
  }
}

/** The bits of a part's values as f16: themselves or, for float32, in `scratch`. */
function toHalves(
  { values, begin }: WeightPart,
  { scratch, label }: { readonly scratch: Scratch; readonly label: string },
): Uint16Array {
  let halves = values;
  if (values instanceof Float32Array) {
    for (let i = 0; i < values.length; i++) {
      if (Math.abs(values[i]!) < HALF_OVERFLOW) continue;
      throw new CheckpointError(
        `Cannot store tensor "${label}" as f16: element ${begin + i} is ${values[i]}, ` +
          `wanted less than ${HALF_OVERFLOW}; use precision f32`,
      );
    }
    halves = scratch.take(Float16Array<ArrayBuffer>, values.length);
    halves.set(values);
  }
  return new Uint16Array(halves.buffer, halves.byteOffset, halves.length);
}
