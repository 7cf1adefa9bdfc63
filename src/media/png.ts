import { crc32, deflateSync, inflateSync } from "node:zlib";
import type { Frame } from "./frame.ts";
import { pictureError } from "./picture_error.ts";
import { PNG_SIGNATURE, type PngHeader, readPngChunks } from "./png_chunks.ts";

// Rows are decoded here because fast-png 8.0.0 throws on interlaced pictures of 1, 2 or 4 bits, 22 files of PngSuite.

/** Grid of pixels that is stored as one run of filtered rows: the whole picture, or one of the seven Adam7 passes. */
interface Pass {
  readonly x: number;
  readonly y: number;
  readonly stepX: number;
  readonly stepY: number;
  readonly width: number;
  readonly height: number;
}

const ADAM7: readonly (readonly [x: number, y: number, stepX: number, stepY: number])[] = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

const PAETH = 4;

/** Reads and checks what stands before the pixels of a PNG file. `bytes` may be the beginning of the file, up to the
 * first IDAT. `name` is used in errors. Throws SyntaxError. */
export function readPngHeader(bytes: Uint8Array, name: string): PngHeader {
  return readPngChunks(bytes, { name, headerOnly: true }).header;
}

/**
 * Decodes a whole PNG file of any colour type, depth and interlacing.
 *
 * Grey becomes RGB, 1/2/4-bit grey is scaled to 8 bits, a palette becomes 8-bit RGB, 16 bits stay 16. Alpha is
 * dropped (see Frame); gamma and colour profiles are not applied. `name` is used in errors. Throws SyntaxError for
 * anything the specification forbids, a wrong checksum or a stream that is not exactly as long as the picture.
 */
export function decodePng(bytes: Uint8Array, name: string): Frame {
  const { header, palette, compressed } = readPngChunks(bytes, { name, headerOnly: false });
  const passes = listPasses(header);
  const rows = inflateRows(compressed, { byteLength: passesByteLength(passes, header), fail });

  const { width, height, bitDepth } = header;
  const length = width * height * 3;
  const data = bitDepth === 16 ? new Uint16Array(length) : new Uint8Array(length);
  const pixelBytes = Math.ceil(header.channels * header.sampleDepth / 8);
  let offset = 0;
  for (const pass of passes) {
    const rowBytes = rowByteLength(pass.width, header);
    let above: Uint8Array = new Uint8Array(rowBytes);
    for (let row = 0; row < pass.height; row++) {
      const filter = rows[offset]!;
      const current = rows.subarray(offset + 1, offset + 1 + rowBytes);
      if (filter > PAETH) throw fail(`filter type is ${filter}, wanted 0 to 4`);
      unfilterRow(current, { filter, above, pixelBytes });
      const samples = unpackSamples(current, { count: pass.width * header.channels, header });
      const start = (pass.y + row * pass.stepY) * width + pass.x;
      if (header.colorType === 3) {
        const known = paintPalette(data, { samples, palette: palette!, start, step: pass.stepX });
        if (!known) throw fail(`palette index is past the palette's ${palette!.length / 3} colours`);
      } else {
        paintColors(data, { samples, channels: header.channels, start, step: pass.stepX });
      }
      above = current;
      offset += 1 + rowBytes;
    }
  }
  return { width, height, bitDepth, data };

  function fail(reason: string): SyntaxError {
    return pictureError("PNG", { name, reason });
  }
}

/** Encodes a Frame as RGB PNG of its bit depth, without metadata. Throws RangeError if `data` does not fit the size
 * and depth. */
export function encodePng(frame: Frame): Uint8Array {
  const { width, height, bitDepth, data } = frame;
  const wanted = bitDepth === 16 ? Uint16Array : Uint8Array;
  if (!(data instanceof wanted) || data.length !== width * height * 3 || data.length === 0) {
    throw new RangeError(
      `Cannot encode PNG: data is ${data.constructor.name} of ${data.length}, ${width} x ${height} RGB with ` +
        `${bitDepth} bits wants ${wanted.name} of ${width * height * 3}`,
    );
  }
  const ihdr = new Uint8Array(13);
  const view = new DataView(ihdr.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  ihdr[8] = bitDepth;
  ihdr[9] = 2;
  // Of Paeth-filtered rows, level 6 takes 3 % off level 3 and four times as long.
  const idat = deflateSync(filterRows(frame), { level: 3 });
  return concatenate([
    PNG_SIGNATURE,
    encodeChunk("IHDR", ihdr),
    encodeChunk("IDAT", idat),
    encodeChunk("IEND", new Uint8Array(0)),
  ]);
}

function listPasses(header: PngHeader): Pass[] {
  const grids = header.interlaced ? ADAM7 : [[0, 0, 1, 1]] as const;
  return grids.map(([x, y, stepX, stepY]) => ({
    x,
    y,
    stepX,
    stepY,
    width: Math.ceil((header.width - x) / stepX),
    height: Math.ceil((header.height - y) / stepY),
  })).filter((pass) => pass.width > 0 && pass.height > 0);
}

function rowByteLength(width: number, header: PngHeader): number {
  return Math.ceil(width * header.channels * header.sampleDepth / 8);
}

function passesByteLength(passes: readonly Pass[], header: PngHeader): number {
  return passes.reduce((sum, pass) => sum + pass.height * (1 + rowByteLength(pass.width, header)), 0);
}

function inflateRows(
  compressed: readonly Uint8Array[],
  options: { byteLength: number; fail: (reason: string) => SyntaxError },
): Uint8Array {
  const { byteLength, fail } = options;
  let rows: Uint8Array;
  try {
    // The limit makes a bomb stop at the picture's size instead of filling the memory.
    rows = inflateSync(concatenate(compressed), { maxOutputLength: byteLength });
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    throw fail(
      code === "ERR_BUFFER_TOO_LARGE"
        ? `pixel data is longer than the picture's ${byteLength} bytes`
        : `pixel data is corrupt (${message})`,
    );
  }
  if (rows.length < byteLength) throw fail(`pixel data has ${rows.length} bytes, wanted ${byteLength}`);
  return rows;
}

/** Undoes the filter in place; `above` is the row before, already undone, or zeros. */
function unfilterRow(
  row: Uint8Array,
  options: { filter: number; above: Uint8Array; pixelBytes: number },
): void {
  const { filter, above, pixelBytes } = options;
  for (let i = 0; filter > 0 && i < row.length; i++) {
    const left = i < pixelBytes ? 0 : row[i - pixelBytes]!;
    const up = above[i]!;
    if (filter === 1) row[i]! += left;
    else if (filter === 2) row[i]! += up;
    else if (filter === 3) row[i]! += (left + up) >> 1;
    else row[i]! += paeth(left, { up, upLeft: i < pixelBytes ? 0 : above[i - pixelBytes]! });
  }
}

/** The neighbour closest to left + up - upLeft; ties in the order left, up, upLeft. */
function paeth(left: number, neighbours: { up: number; upLeft: number }): number {
  const { up, upLeft } = neighbours;
  const distanceLeft = Math.abs(up - upLeft);
  const distanceUp = Math.abs(left - upLeft);
  const distanceUpLeft = Math.abs(left + up - 2 * upLeft);
  if (distanceLeft <= distanceUp && distanceLeft <= distanceUpLeft) return left;
  return distanceUp <= distanceUpLeft ? up : upLeft;
}

/** One number per sample; grey below 8 bits is scaled so that white is 255, palette indices are not. */
function unpackSamples(
  row: Uint8Array,
  options: { count: number; header: PngHeader },
): Uint8Array | Uint16Array {
  const { count, header: { sampleDepth, colorType } } = options;
  if (sampleDepth === 8) return row;
  if (sampleDepth === 16) {
    const samples = new Uint16Array(count);
    for (let i = 0; i < count; i++) samples[i] = row[2 * i]! << 8 | row[2 * i + 1]!;
    return samples;
  }
  const samples = new Uint8Array(count);
  const max = 2 ** sampleDepth - 1;
  const scale = colorType === 0 ? 255 / max : 1;
  for (let i = 0; i < count; i++) {
    const bit = i * sampleDepth;
    samples[i] = (row[bit >> 3]! >> (8 - sampleDepth - (bit & 7)) & max) * scale;
  }
  return samples;
}

/** Writes one row of colours; `start` and `step` count pixels of `data`. */
function paintColors(
  data: Uint8Array | Uint16Array,
  options: { samples: Uint8Array | Uint16Array; channels: number; start: number; step: number },
): void {
  const { samples, channels, start, step } = options;
  const green = channels < 3 ? 0 : 1;
  const blue = channels < 3 ? 0 : 2;
  for (let from = 0, to = start * 3; from < samples.length; from += channels, to += step * 3) {
    data[to] = samples[from]!;
    data[to + 1] = samples[from + green]!;
    data[to + 2] = samples[from + blue]!;
  }
}

/** Writes one row of palette colours; returns false on an index past the palette. */
function paintPalette(
  data: Uint8Array | Uint16Array,
  options: { samples: Uint8Array | Uint16Array; palette: Uint8Array; start: number; step: number },
): boolean {
  const { samples, palette, start, step } = options;
  for (let i = 0, to = start * 3; i < samples.length; i++, to += step * 3) {
    const entry = samples[i]! * 3;
    if (entry >= palette.length) return false;
    data[to] = palette[entry]!;
    data[to + 1] = palette[entry + 1]!;
    data[to + 2] = palette[entry + 2]!;
  }
  return true;
}

/** Rows as PNG stores them: a filter byte (always Paeth), then big-endian
 * samples minus their prediction. */
function filterRows(frame: Frame): Uint8Array {
  const { width, height, bitDepth, data } = frame;
  const pixelBytes = 3 * bitDepth / 8;
  const rowBytes = width * pixelBytes;
  const filtered = new Uint8Array(height * (1 + rowBytes));
  let above: Uint8Array = new Uint8Array(rowBytes);
  for (let y = 0; y < height; y++) {
    const row = packSamples(data.subarray(y * width * 3, (y + 1) * width * 3));
    const start = y * (1 + rowBytes);
    filtered[start] = PAETH;
    for (let i = 0; i < rowBytes; i++) {
      const left = i < pixelBytes ? 0 : row[i - pixelBytes]!;
      const upLeft = i < pixelBytes ? 0 : above[i - pixelBytes]!;
      filtered[start + 1 + i] = row[i]! - paeth(left, { up: above[i]!, upLeft });
    }
    above = row;
  }
  return filtered;
}

function packSamples(samples: Uint8Array | Uint16Array): Uint8Array {
  if (samples instanceof Uint8Array) return samples;
  const row = new Uint8Array(samples.length * 2);
  for (let i = 0; i < samples.length; i++) {
    row[2 * i] = samples[i]! >> 8;
    row[2 * i + 1] = samples[i]!;
  }
  return row;
}

function encodeChunk(type: string, data: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(12 + data.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, data.length);
  chunk.set(new TextEncoder().encode(type), 4);
  chunk.set(data, 8);
  view.setUint32(8 + data.length, crc32(chunk.subarray(4, 8 + data.length)));
  return chunk;
}

/** `Buffer.concat` would give a Buffer, whose `slice` shares memory, unlike that of the Uint8Array it passes for. */
function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
