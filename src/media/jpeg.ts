import createModule from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import { decodeInWasm, type WasmImage } from "./decode_in_wasm.ts";
import { type Frame, type PictureHeader, sizeProblem } from "./frame.ts";
import { JpegScans } from "./jpeg_scans.ts";
import { pictureError } from "./picture_error.ts";

/** The part of the codec's module that is used; the package declares its type in a way that cannot be imported. */
interface JpegModule {
  decode(bytes: Uint8Array, applyOrientation: boolean): WasmImage;
}

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const TEM = 0x01;

/** Start-of-frame markers of the processes that are decoded: baseline, extended sequential, progressive. */
const SUPPORTED_FRAMES = [0xc0, 0xc1, 0xc2];
/**
 * Markers that stand within a scan only, or at the beginning. Had one of these a length here and none for the decoder,
 * the two would take different bytes for markers from then on.
 */
const MISPLACED = [0x00, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, SOI];
/** Markers between C0 and CF that start no frame: DHT, JPG, DAC. */
const NOT_FRAMES = [0xc4, 0xc8, 0xcc];

/**
 * Reads the size of a JPEG file. `bytes` may be the beginning of the file, up to its frame header. `name` is used in
 * errors. Throws SyntaxError.
 */
export function readJpegHeader(bytes: Uint8Array, name: string): PictureHeader {
  return checkJpeg(bytes, { name, headerOnly: true });
}

/**
 * Decodes a JPEG file: grey or YCbCr, 8 bits, Huffman coded. Orientation tags and colour profiles are not applied.
 * `name` is used in errors. Throws SyntaxError also for damage that other decoders paint over, such as a missing end.
 */
export async function decodeJpeg(bytes: Uint8Array, name: string): Promise<Frame> {
  const { width, height } = checkJpeg(bytes, { name, headerOnly: false });
  return await decodeInWasm<JpegModule>(createModule, {
    format: "JPEG",
    name,
    width,
    height,
    decode: (module) => module.decode(bytes, false),
  });
}

/** Walks over the marker segments, to the frame header or to the end. Source: ITU-T T.81, annex B. */
function checkJpeg(bytes: Uint8Array, options: { name: string; headerOnly: boolean }): PictureHeader {
  const { name, headerOnly } = options;
  if (bytes[0] !== 0xff || bytes[1] !== SOI) throw fail("signature is wrong");
  let header: PictureHeader | undefined;
  let scans: JpegScans | undefined;
  let offset = 2;
  while (true) {
    if (bytes[offset] !== undefined && bytes[offset] !== 0xff) throw fail(`no marker at byte ${offset}`);
    // Any number of FF may stand before a marker.
    while (bytes[offset] === 0xff) offset++;
    const marker = bytes[offset++];
    if (marker === undefined) throw fail("file ends before its end marker");
    if (marker === EOI) break;
    if (marker === TEM) continue;
    if (MISPLACED.includes(marker)) throw fail(`marker ${marker.toString(16)} is misplaced`);

    const length = bytes[offset]! << 8 | bytes[offset + 1]!;
    if (offset + Math.max(length, 2) > bytes.length) throw fail("file ends within a segment");
    if (length < 2) throw fail(`segment at byte ${offset} has length ${length}, wanted at least 2`);
    const segment = bytes.subarray(offset + 2, offset + length);
    offset += length;
    if (marker >= 0xc0 && marker <= 0xcf && !NOT_FRAMES.includes(marker)) {
      if (header !== undefined) throw fail("frame header appears twice");
      header = readFrameHeader(segment, { marker, fail });
      if (headerOnly) return header;
      scans = new JpegScans(segment.filter((_, i) => i >= 6 && i % 3 === 0), fail);
    } else if (marker === SOS) {
      if (scans === undefined) throw fail("scan comes before the frame header");
      scans.add(segment);
      offset = skipScan(bytes, offset);
    }
  }
  if (header === undefined || scans === undefined) throw fail("file has no picture");
  scans.finish();
  return header;

  function fail(reason: string): SyntaxError {
    return pictureError("JPEG", { name, reason });
  }
}

function readFrameHeader(
  segment: Uint8Array,
  options: { marker: number; fail: (reason: string) => SyntaxError },
): PictureHeader {
  const { marker, fail } = options;
  if (!SUPPORTED_FRAMES.includes(marker)) {
    throw fail(`coding process is ${marker - 0xc0}, wanted 0, 1 or 2 (baseline, extended or progressive)`);
  }
  if (segment.length < 6) throw fail(`frame header has ${segment.length} bytes, wanted at least 6`);
  const precision = segment[0]!;
  const height = segment[1]! << 8 | segment[2]!;
  const width = segment[3]! << 8 | segment[4]!;
  const components = segment[5]!;
  if (precision !== 8) throw fail(`precision is ${precision} bits, wanted 8`);
  if (components !== 1 && components !== 3) {
    throw fail(`number of components is ${components}, wanted 1 or 3`);
  }
  const wanted = 6 + 3 * components;
  if (segment.length !== wanted) throw fail(`frame header has ${segment.length} bytes, wanted ${wanted}`);
  const problem = sizeProblem(width, height);
  if (problem !== undefined) throw fail(problem);
  return { format: "jpeg", width, height, bitDepth: 8, alphaDropped: false };
}

/**
 * First offset of a marker after the coded data at `offset`, past stuffed zeros and restart markers, before either of
 * which FF may be repeated.
 */
function skipScan(bytes: Uint8Array, offset: number): number {
  while (true) {
    const start = bytes.indexOf(0xff, offset);
    if (start < 0) return bytes.length;
    offset = start + 1;
    while (bytes[offset] === 0xff) offset++;
    const next = bytes[offset];
    if (next !== 0 && !(next !== undefined && next >= 0xd0 && next <= 0xd7)) return start;
    offset++;
  }
}
