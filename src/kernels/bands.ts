import { BINDING_ALIGNMENT } from "../gpu/device.ts";
import { LimitError } from "../gpu/errors.ts";

/** Output rows [rowBegin, rowBegin + rows) of images [batchBegin, batchBegin + batch). */
export interface Band {
  readonly batchBegin: number;
  readonly batch: number;
  readonly rowBegin: number;
  readonly rows: number;
}

export interface BandOptions {
  readonly batch: number;
  readonly height: number;
  /** Largest range that may be bound, in bytes. */
  readonly maxBindingBytes: number;
  /** For each banded tensor: its total bytes, and the bytes it contributes to a band of so many output rows. */
  readonly tensors: readonly { readonly total: number; readonly band: (rows: number) => number }[];
  /** For the error. */
  readonly label: string;
}

/**
 * One band over everything where all tensors can be bound whole, else bands of rows, image by image. Bands change
 * how the work is cut, never a value.
 */
export function rowBands(options: BandOptions): Band[] {
  const { batch, height, maxBindingBytes, tensors, label } = options;
  if (tensors.every((t) => t.total <= maxBindingBytes)) {
    return [{ batchBegin: 0, batch, rowBegin: 0, rows: height }];
  }
  // A slice is widened at its start to an aligned offset.
  const room = maxBindingBytes - BINDING_ALIGNMENT;
  let rows = height;
  while (!tensors.every((t) => t.band(rows) <= room)) {
    if (rows === 1) {
      throw new LimitError(
        `Cannot run "${label}": a single row exceeds the ${maxBindingBytes} bytes this GPU binds`,
      );
    }
    rows = Math.ceil(rows / 2);
  }
  const bands: Band[] = [];
  for (let n = 0; n < batch; n++) {
    for (let rowBegin = 0; rowBegin < height; rowBegin += rows) {
      bands.push({ batchBegin: n, batch: 1, rowBegin, rows: Math.min(rows, height - rowBegin) });
    }
  }
  return bands;
}

/** Chunks [from, to) of `count` vec4s for elementwise kernels; every `from` can be bound without an offset. */
export function flatChunks(count: number, maxBindingBytes: number): { from: number; to: number }[] {
  const perStep = BINDING_ALIGNMENT / 16;
  const size = Math.max(perStep, Math.floor(maxBindingBytes / BINDING_ALIGNMENT) * perStep);
  const chunks: { from: number; to: number }[] = [];
  for (let from = 0; from < count; from += size) chunks.push({ from, to: Math.min(from + size, count) });
  return chunks;
}

/** Workgroups for `count` of them, spread over x and y: a dimension takes at most 65,535. */
export function spread(count: number): [number, number, number] {
  const y = Math.ceil(count / 65535);
  return [Math.ceil(count / y), y, 1];
}
