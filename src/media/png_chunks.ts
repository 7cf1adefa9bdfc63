import { crc32 } from "node:zlib";
import { type PictureHeader, sizeProblem } from "./frame.ts";
import { pictureError } from "./picture_error.ts";

/** First eight bytes of every PNG file. */
export const PNG_SIGNATURE: Uint8Array = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** Samples per pixel and legal sample depths of each PNG colour type (grey, RGB, palette, grey + alpha, RGB + alpha). */
const COLOR_TYPES = {
  0: { channels: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, depths: [8, 16] },
  3: { channels: 1, depths: [1, 2, 4, 8] },
  4: { channels: 2, depths: [8, 16] },
  6: { channels: 4, depths: [8, 16] },
};

/**
 * Each part of the stream costs far more memory than the 13 bytes it takes in a file; encoders write parts of 4 KiB or
 * more, of which this many fill the largest file that is read.
 */
const MAX_CHUNKS = 2 ** 18;

/** Widest picture whose rows the codec takes at any depth: 64 MiB of 16-bit RGBA. */
const MAX_WIDTH = 2 ** 23;

/** Header of a PNG file: IHDR, and whether there is transparency. */
export interface PngHeader extends PictureHeader {
  readonly format: "png";
  readonly colorType: keyof typeof COLOR_TYPES;
  /** Samples per pixel as stored: 1 to 4. */
  readonly channels: number;
  /** Bits per sample as stored: 1, 2, 4, 8 or 16. */
  readonly sampleDepth: number;
  readonly interlaced: boolean;
}

/** A checked PNG file before decompression. */
export interface PngChunks {
  readonly header: PngHeader;
  /** RGB triples, 1 to 256; undefined without PLTE. */
  readonly palette: Uint8Array | undefined;
  /** Parts of the one compressed stream; empty if reading stopped at the first IDAT. */
  readonly compressed: readonly Uint8Array[];
}

/**
 * Takes a PNG file apart and checks its structure: signature, chunk lengths, types, CRCs and order, IHDR, palette
 * and the size limits. Ancillary chunks are stepped over unread, apart from tRNS being there; bytes after IEND are
 * not looked at.
 *
 * `headerOnly` stops at the first IDAT, so that `bytes` may be just the beginning of a file. Throws SyntaxError with
 * `name` and the reason. Source: W3C PNG specification, third edition, sections 5 and 11.
 */
export function readPngChunks(bytes: Uint8Array, options: { name: string; headerOnly: boolean }): PngChunks {
  const { name, headerOnly } = options;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)) throw fail("signature is wrong");

  let header: PngHeader | undefined;
  let palette: Uint8Array | undefined;
  let transparent = false;
  const compressed: Uint8Array[] = [];
  let previous = "";
  let count = 0;
  for (let offset = PNG_SIGNATURE.length; previous !== "IEND";) {
    if (offset + 8 > bytes.length) throw fail(`file ends at byte ${bytes.length}, before IEND`);
    const length = view.getUint32(offset);
    const type = String.fromCharCode(...bytes.subarray(offset + 4, offset + 8));
    if (++count > MAX_CHUNKS) throw fail(`number of chunks is over ${MAX_CHUNKS}`);
    if (!/^[A-Za-z]{4}$/.test(type)) throw fail(`chunk type at byte ${offset + 4} is not four letters`);
    if (header === undefined && type !== "IHDR") throw fail(`first chunk is ${type}, wanted IHDR`);
    if (type === "IDAT" && header?.colorType === 3 && palette === undefined) throw fail("palette is missing");
    if (type === "IDAT" && headerOnly) break;

    const end = offset + 8 + length;
    if (end + 4 > bytes.length) {
      throw fail(`${type} at byte ${offset} has ${length} bytes, file has ${bytes.length - offset - 8} left`);
    }
    if (crc32(bytes.subarray(offset + 4, end)) !== view.getUint32(end)) {
      throw fail(`CRC of ${type} at byte ${offset} is wrong`);
    }
    const data = bytes.subarray(offset + 8, end);
    if (type === "IHDR") {
      if (header !== undefined) throw fail("IHDR appears twice");
      header = readIhdr(data, fail);
    } else if (type === "PLTE") {
      if (palette !== undefined) throw fail("PLTE appears twice");
      if (compressed.length > 0) throw fail("PLTE comes after IDAT");
      checkPalette(header!, { length, fail });
      palette = data;
    } else if (type === "IDAT") {
      if (compressed.length > 0 && previous !== "IDAT") throw fail(`IDAT is interrupted by ${previous}`);
      compressed.push(data);
    } else if (type === "IEND") {
      if (length > 0) throw fail(`IEND has ${length} bytes, wanted 0`);
      if (compressed.length === 0) throw fail("IDAT is missing");
    } else if (type === "tRNS") {
      transparent = true;
    } else if (type[0]! <= "Z") {
      throw fail(`critical chunk ${type} is unknown`);
    }
    previous = type;
    offset = end + 4;
  }
  return {
    header: { ...header!, alphaDropped: header!.alphaDropped || transparent },
    palette,
    compressed,
  };

  function fail(reason: string): SyntaxError {
    return pictureError("PNG", { name, reason });
  }
}

function readIhdr(data: Uint8Array, fail: (reason: string) => SyntaxError): PngHeader {
  if (data.length !== 13) throw fail(`IHDR has ${data.length} bytes, wanted 13`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const width = view.getUint32(0);
  const height = view.getUint32(4);
  const [sampleDepth, colorType, compression, filter, interlace] = data.subarray(8);
  if (!isColorType(colorType!)) throw fail(`colour type is ${colorType}, wanted 0, 2, 3, 4 or 6`);
  const { channels, depths } = COLOR_TYPES[colorType];
  if (!depths.includes(sampleDepth!)) {
    throw fail(`bit depth is ${sampleDepth}, colour type ${colorType} wants ${depths.join(", ")}`);
  }
  if (compression !== 0) throw fail(`compression method is ${compression}, wanted 0`);
  if (filter !== 0) throw fail(`filter method is ${filter}, wanted 0`);
  if (interlace! > 1) throw fail(`interlace method is ${interlace}, wanted 0 or 1`);
  const problem = sizeProblem(width, height);
  if (problem !== undefined) throw fail(problem);
  if (width > MAX_WIDTH) throw fail(`width is ${width}, wanted at most ${MAX_WIDTH}`);
  return {
    format: "png",
    width,
    height,
    bitDepth: sampleDepth === 16 ? 16 : 8,
    alphaDropped: channels % 2 === 0,
    colorType,
    channels,
    sampleDepth: sampleDepth!,
    interlaced: interlace === 1,
  };
}

function isColorType(value: number): value is keyof typeof COLOR_TYPES {
  return value in COLOR_TYPES;
}

function checkPalette(
  header: PngHeader,
  options: { length: number; fail: (reason: string) => SyntaxError },
): void {
  const { length, fail } = options;
  if (header.colorType === 0 || header.colorType === 4) throw fail("grey picture has a palette");
  const limit = header.colorType === 3 ? 2 ** header.sampleDepth : 256;
  if (length % 3 !== 0 || length < 3 || length > 3 * limit) {
    throw fail(`palette has ${length} bytes, wanted 3 to ${3 * limit} in steps of 3`);
  }
}
