import { decode, init } from "@jsquash/png/decode.js";
import { crc32, deflateSync, inflateSync } from "node:zlib";
import { dropAlpha } from "./drop_alpha.ts";
import type { Frame } from "./frame.ts";
import { pictureError } from "./picture_error.ts";
import { PNG_SIGNATURE, type PngHeader, readPngChunks } from "./png_chunks.ts";

/** Grid of pixels that is stored as one run of filtered rows: the whole picture, or one of the seven Adam7 passes. */
interface Pass {
  readonly rows: number;
  /** Bytes of one row with its filter type. */
  readonly rowBytes: number;
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

/** Filter type with the largest number. */
const PAETH = 4;

type Chunk = readonly [type: string, data: Uint8Array];

/** What IHDR says. */
type StoredForm = Pick<PngHeader, "width" | "height" | "sampleDepth" | "colorType" | "interlaced">;

/**
 * Reads and checks what stands before the pixels of a PNG file. `bytes` may be the beginning of the file, up to the
 * first IDAT. `name` is used in errors. Throws SyntaxError.
 */
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
export async function decodePng(bytes: Uint8Array, name: string): Promise<Frame> {
  const { header, palette, compressed } = readPngChunks(bytes, { name, headerOnly: false });
  const rows = inflateRows(compressed, { passes: listPasses(header), fail });
  await init().catch((error: Error) => {
    // Without this, a missing permission for the package's folder would look like one for the picture.
    throw new Error(`Cannot load the PNG decoder: ${error.message}`, { cause: error });
  });

  const { width, height, bitDepth, colorType } = header;
  const paletteChunks = colorType === 3 ? markUnusedIndices(palette!, header.sampleDepth) : [];
  // Each failure costs the codec's only instance memory until it breaks, and it refuses bad metadata, so it gets a new
  // file of nothing but what has been checked.
  const idat: Chunk = ["IDAT", deflateSync(rows, { level: 0 })];
  const file = writePng(header, [...paletteChunks, idat]).buffer;
  let data: Frame["data"] | undefined;
  try {
    data = await decodeChecked(file, header);
  } catch (error) {
    const { message } = error as Error;
    throw fail(
      `decoding failed (${message}), most likely for lack of memory for ${width} x ${height} pixels`,
    );
  }
  if (data === undefined) throw fail(`palette index is past the palette's ${palette!.length / 3} colours`);
  return { width, height, bitDepth, data };

  function fail(reason: string): SyntaxError {
    return pictureError("PNG", { name, reason });
  }
}

/**
 * Encodes a Frame as RGB PNG of its bit depth, without metadata. Throws RangeError if `data` does not fit the size
 * and depth.
 */
export function encodePng(frame: Frame): Uint8Array {
  const { width, height, bitDepth, data } = frame;
  const wanted = bitDepth === 16 ? Uint16Array : Uint8Array;
  if (!(data instanceof wanted) || data.length !== width * height * 3 || data.length === 0) {
    throw new RangeError(
      `Cannot encode PNG: data is ${data.constructor.name} of ${data.length}, ${width} x ${height} RGB with ` +
        `${bitDepth} bits wants ${wanted.name} of ${width * height * 3}`,
    );
  }
  // Done here since @jsquash/png writes RGBA only and lets nobody choose filter and level: its files are larger.
  // Of Paeth-filtered rows, level 6 takes 3 % off level 3 and four times as long.
  const idat: Chunk = ["IDAT", deflateSync(filterRows(frame), { level: 3 })];
  return writePng({ width, height, sampleDepth: bitDepth, colorType: 2, interlaced: false }, [idat]);
}

function listPasses(header: PngHeader): Pass[] {
  const grids = header.interlaced ? ADAM7 : [[0, 0, 1, 1]] as const;
  const passes: Pass[] = [];
  for (const [x, y, stepX, stepY] of grids) {
    const columns = Math.ceil((header.width - x) / stepX);
    const rows = Math.ceil((header.height - y) / stepY);
    const rowBytes = 1 + Math.ceil(columns * header.channels * header.sampleDepth / 8);
    // A pass without columns has no filter types either.
    if (columns > 0) passes.push({ rows, rowBytes });
  }
  return passes;
}

/** Decompresses the rows and checks their number and filter types. */
function inflateRows(
  compressed: readonly Uint8Array[],
  options: { passes: readonly Pass[]; fail: (reason: string) => SyntaxError },
): Uint8Array {
  const { passes, fail } = options;
  const byteLength = passes.reduce((sum, pass) => sum + pass.rows * pass.rowBytes, 0);
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
  let offset = 0;
  for (const pass of passes) {
    for (const end = offset + pass.rows * pass.rowBytes; offset < end; offset += pass.rowBytes) {
      if (rows[offset]! > PAETH) throw fail(`filter type is ${rows[offset]}, wanted 0 to ${PAETH}`);
    }
  }
  return rows;
}

/**
 * RGB samples of a file that the codec can find no fault with; undefined if a pixel has an index that
 * `markUnusedIndices` marks.
 */
async function decodeChecked(file: ArrayBuffer, header: PngHeader): Promise<Frame["data"] | undefined> {
  const { bitDepth, colorType } = header;
  if (bitDepth === 16) {
    const image = await decode(file, { bitDepth });
    const data = dropAlpha(image.data);
    image.free();
    return data;
  }
  // The type also allows 16-bit floats, which this codec never makes.
  const rgba = (await decode(file)).data as Uint8ClampedArray;
  return colorType === 3 && hasTransparency(rgba) ? undefined : dropAlpha(rgba);
}

/**
 * Palette chunks with an entry for every index that `sampleDepth` bits can hold; those past `palette` are transparent
 * and the others opaque, since the codec paints an index past the palette black.
 */
function markUnusedIndices(palette: Uint8Array, sampleDepth: number): Chunk[] {
  const colors = new Uint8Array(3 * 2 ** sampleDepth);
  colors.set(palette);
  const alpha = new Uint8Array(2 ** sampleDepth).fill(255, 0, palette.length / 3);
  return [["PLTE", colors], ["tRNS", alpha]];
}

function hasTransparency(rgba: Uint8ClampedArray): boolean {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] === 0) return true;
  return false;
}

/** Rows as PNG stores them: a filter byte (always Paeth), then big-endian samples minus their prediction. */
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

/** The neighbour closest to left + up - upLeft; ties in the order left, up, upLeft. */
function paeth(left: number, neighbours: { up: number; upLeft: number }): number {
  const { up, upLeft } = neighbours;
  const distanceLeft = Math.abs(up - upLeft);
  const distanceUp = Math.abs(left - upLeft);
  const distanceUpLeft = Math.abs(left + up - 2 * upLeft);
  if (distanceLeft <= distanceUp && distanceLeft <= distanceUpLeft) return left;
  return distanceUp <= distanceUpLeft ? up : upLeft;
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

/** A whole file: `chunks` between IHDR and IEND. */
function writePng(header: StoredForm, chunks: readonly Chunk[]): Uint8Array<ArrayBuffer> {
  const ihdr = new Uint8Array(13);
  const view = new DataView(ihdr.buffer);
  view.setUint32(0, header.width);
  view.setUint32(4, header.height);
  ihdr[8] = header.sampleDepth;
  ihdr[9] = header.colorType;
  ihdr[12] = header.interlaced ? 1 : 0;
  const all: Chunk[] = [["IHDR", ihdr], ...chunks, ["IEND", new Uint8Array(0)]];
  return concatenate([PNG_SIGNATURE, ...all.map(([type, data]) => encodeChunk(type, data))]);
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
function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
