import { crc32, inflateSync } from "node:zlib";

/** RGB samples of a PNG file. */
export interface ReferencePicture {
  readonly width: number;
  readonly height: number;
  readonly bitDepth: 8 | 16;
  readonly data: readonly number[];
}

const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
/** The passes of a picture that is not interlaced and of one that is: first column and row, and the steps. */
export const WHOLE = [[0, 0, 1, 1]] as const;
export const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/**
 * Decodes a small PNG file as `decodePng` should, one sample after the other. Throws for whatever the specification
 * forbids. Source: W3C PNG specification, third edition.
 */
export function decodePng(bytes: Uint8Array): ReferencePicture {
  const chunks = splitChunks(bytes);
  const types = chunks.map(([type]) => type).join(" ");
  // Lower-case first letters are ancillary: they may stand anywhere but between IDATs.
  const order = /^IHDR( [a-z]\w{3})*( PLTE( [a-z]\w{3})*)?( IDAT)+( [a-z]\w{3})* IEND$/;
  demand(order.test(types), `chunks are ${types}`);
  const [ihdr, palette] = ["IHDR", "PLTE"].map((name) => chunks.find(([type]) => type === name)?.[1]);
  demand(ihdr!.length === 13 && chunks.at(-1)![1].length === 0, "length of IHDR or IEND");
  const view = new DataView(ihdr!.buffer, ihdr!.byteOffset);
  const width = view.getUint32(0), height = view.getUint32(4);
  const [depth, colorType, compression, filter, interlace] = [...ihdr!.subarray(8)] as [number, ...number[]];
  demand(width > 0 && height > 0 && DEPTHS[colorType!]?.includes(depth), "size, colour type or depth");
  demand(compression === 0 && filter === 0 && interlace! < 2, "method");
  if (palette) {
    demand(colorType !== 0 && colorType !== 4, "palette of a grey picture");
    demand(palette.length > 0 && palette.length % 3 === 0, "length of the palette");
    demand(palette.length <= 3 * (colorType === 3 ? 2 ** depth : 256), "length of the palette");
  }
  demand(colorType !== 3 || palette !== undefined, "palette is missing");

  const channels = CHANNELS[colorType!]!;
  const passes = (interlace ? ADAM7 : WHOLE).map(([x, y, dx, dy]) => {
    const columns = Math.ceil((width - x) / dx), rows = Math.ceil((height - y) / dy);
    return { x, y, dx, dy, columns, rows, rowBytes: Math.ceil(columns * channels * depth / 8) };
  }).filter(({ columns }) => columns > 0);
  const stream = inflateSync(
    Uint8Array.from(chunks.flatMap(([type, data]) => type === "IDAT" ? [...data] : [])),
  );
  const wanted = passes.reduce((sum, { rows, rowBytes }) => sum + rows * (1 + rowBytes), 0);
  demand(stream.length === wanted, `stream has ${stream.length} bytes, wanted ${wanted}`);

  const rgb = new Array<number>(width * height * 3);
  let offset = 0;
  for (const { x, y, dx, dy, columns, rows, rowBytes } of passes) {
    let above = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++, offset += 1 + rowBytes) {
      const line = unfilter(stream.subarray(offset, offset + 1 + rowBytes), {
        above,
        pixelBytes: Math.max(1, channels * depth / 8),
      });
      for (let column = 0; column < columns; column++) {
        const samples = Array.from(
          { length: channels },
          (_, c) => sampleAt(line, column * channels + c, depth),
        );
        const at = ((y + row * dy) * width + x + column * dx) * 3;
        for (let c = 0; c < 3; c++) {
          rgb[at + c] = colour(samples, c, { colorType: colorType!, depth, palette });
        }
      }
      above = line;
    }
  }
  return { width, height, bitDepth: depth === 16 ? 16 : 8, data: rgb };
}

function splitChunks(bytes: Uint8Array): [type: string, data: Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  demand([...bytes.subarray(0, 8)].join() === "137,80,78,71,13,10,26,10", "signature");
  const chunks: [string, Uint8Array][] = [];
  for (let at = 8; chunks.at(-1)?.[0] !== "IEND";) {
    const length = view.getUint32(at), data = bytes.subarray(at + 8, at + 8 + length);
    demand(view.getUint32(at + 8 + length) === crc32(bytes.subarray(at + 4, at + 8 + length)), "CRC");
    chunks.push([String.fromCharCode(...bytes.subarray(at + 4, at + 8)), data]);
    at += 12 + length;
  }
  return chunks;
}

function unfilter(
  filtered: Uint8Array,
  { above, pixelBytes }: { above: Uint8Array; pixelBytes: number },
): Uint8Array<ArrayBuffer> {
  const line = new Uint8Array(filtered.length - 1);
  for (let i = 0; i < line.length; i++) {
    const a = line[i - pixelBytes] ?? 0, b = above[i]!, c = above[i - pixelBytes] ?? 0;
    const p = a + b - c;
    // The nearest of left, above and the corner; sorting is stable, so ties go in this order.
    const nearest = [a, b, c].sort((left, right) => Math.abs(p - left) - Math.abs(p - right))[0]!;
    const prediction = [0, a, b, Math.floor((a + b) / 2), nearest][filtered[0]!];
    demand(prediction !== undefined, `filter type ${filtered[0]}`);
    line[i] = filtered[1 + i]! + prediction!;
  }
  return line;
}

function sampleAt(line: Uint8Array, index: number, depth: number): number {
  let value = 0;
  for (let bit = index * depth; bit < (index + 1) * depth; bit++) {
    value = value * 2 + (line[bit >> 3]! >> (7 - bit % 8) & 1);
  }
  return value;
}

/** Red, green or blue (`c` = 0, 1, 2) of a pixel's `samples`. */
function colour(
  samples: readonly number[],
  c: number,
  { colorType, depth, palette }: { colorType: number; depth: number; palette: Uint8Array | undefined },
): number {
  if (colorType === 3) {
    demand(3 * samples[0]! < palette!.length, `palette index ${samples[0]}`);
    return palette![3 * samples[0]! + c]!;
  }
  const value = samples.length < 3 ? samples[0]! : samples[c]!;
  return depth < 8 ? value * 255 / (2 ** depth - 1) : value;
}

function demand(condition: boolean | undefined, problem: string): void {
  if (!condition) throw new Error(`Not a PNG: ${problem}`);
}
