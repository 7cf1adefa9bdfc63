import { crc32, deflateSync } from "node:zlib";

/** Type and content of a chunk. */
export type PngChunk = readonly [type: string, data: ArrayLike<number>];

/** A file of these chunks with right lengths and CRCs; IEND is added. */
export function pngFile(chunks: readonly PngChunk[]): Uint8Array<ArrayBuffer> {
  return joinChunks([...chunks, ["IEND", []]]);
}

/** As `pngFile`, without adding anything. */
export function joinChunks(chunks: readonly PngChunk[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, [, data]) => sum + 12 + data.length, 8));
  const view = new DataView(bytes.buffer);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  let offset = 8;
  for (const [type, data] of chunks) {
    const end = offset + 8 + data.length;
    view.setUint32(offset, data.length);
    bytes.set(new TextEncoder().encode(type), offset + 4);
    bytes.set(data, offset + 8);
    view.setUint32(end, crc32(bytes.subarray(offset + 4, end)));
    offset = end + 4;
  }
  return bytes;
}

/** Content of an IDAT that holds all of `rows`, each with its filter type. */
export function deflate(rows: ArrayLike<number>): Uint8Array {
  return deflateSync(Uint8Array.from(rows));
}

/** IHDR of a picture of 2 x 1, 8-bit grey, and an IDAT with its pixels, 10 and 20. */
export const GREY_IHDR: PngChunk = ["IHDR", [0, 0, 0, 2, 0, 0, 0, 1, 8, 0, 0, 0, 0]];
export const GREY_IDAT: PngChunk = ["IDAT", deflate([0, 10, 20])];
