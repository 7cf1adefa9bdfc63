import { Scratch } from "./scratch.ts";
import type { ByteSource } from "./unchanged_file.ts";
import {
  decodeWeights,
  findNonFinite,
  toFloat32,
  type WeightDType,
  type WeightValues,
} from "./weight_dtype.ts";

/** Values that are read at once, unless a tensor's parts must be larger. */
export const PART_VALUES: number = 2 ** 20;

/** Consecutive values of a tensor, row-major. */
export interface WeightPart {
  /** The next part may overwrite them. */
  readonly values: WeightValues;
  /** Index of the first one in the tensor. */
  readonly begin: number;
}

/** How to read a tensor in parts. */
export interface PartOptions {
  /** Each part but the last holds a multiple of so many values; Infinity for all values in one part. */
  readonly unit: number;
  /** Where the parts lie. */
  readonly memory: PartMemory;
}

/**
 * Memory for two parts as they are stored, one in use and one being read, and for values whose type has no array.
 */
export class PartMemory {
  readonly stored: readonly [Scratch, Scratch] = [new Scratch(), new Scratch()];
  readonly decoded: Scratch = new Scratch();
}

/** Reads the elements of `dtype` in the bytes from `begin` to `end` of `source`, in at least one part. */
export async function* readParts(
  source: ByteSource,
  { dtype, begin, end, unit, memory }: PartOptions & {
    readonly dtype: WeightDType;
    readonly begin: number;
    readonly end: number;
  },
): AsyncGenerator<WeightPart> {
  const elementBytes = dtype === "F32" ? 4 : 2;
  const wanted = elementBytes * unit * Math.max(1, Math.floor(PART_VALUES / unit));
  const partBytes = Math.max(1, Math.min(wanted, end - begin));
  const count = Math.max(1, Math.ceil((end - begin) / partBytes));
  async function read(index: number): Promise<Uint8Array<ArrayBuffer>> {
    const from = begin + index * partBytes;
    const bytes = memory.stored[index % 2]!.take(Uint8Array<ArrayBuffer>, Math.min(partBytes, end - from));
    await source.readInto(bytes, from);
    return bytes;
  }
  let ahead = read(0);
  try {
    for (let index = 0; index < count; index++) {
      const bytes = await ahead;
      if (index + 1 < count) {
        ahead = read(index + 1);
        ahead.catch(() => {}); // thrown where it is awaited
      }
      const values = decodeWeights(dtype, { bytes, scratch: memory.decoded });
      yield { values, begin: index * partBytes / elementBytes };
    }
  } finally {
    await ahead.catch(() => {}); // nothing is read any more once the caller stops
  }
}

/** All values of the tensor that `parts` reads, as float32. */
export async function readWhole(
  parts: (options: PartOptions) => AsyncIterable<WeightPart>,
): Promise<Float32Array<ArrayBuffer>> {
  const [part] = await Array.fromAsync(parts({ unit: Infinity, memory: new PartMemory() }));
  return toFloat32(part!.values, new Scratch());
}

/** What is wrong with `part` as weights: its first value that is NaN or infinite; null where all are finite. */
export function nonFiniteProblem({ values, begin }: WeightPart): string | null {
  const i = findNonFinite(values);
  if (i < 0) return null;
  return `element ${begin + i} is ${values[i]}, wanted finite weights; ` +
    `get the file again from the model's source`;
}
