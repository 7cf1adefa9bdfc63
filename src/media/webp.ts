import createModule from "@jsquash/webp/codec/dec/webp_dec.js";
import { decodeInWasm, type WasmImage } from "./decode_in_wasm.ts";
import { type Frame, type PictureHeader, sizeProblem } from "./frame.ts";
import { pictureError } from "./picture_error.ts";

/** The part of the codec's module that is used; the package declares its type in a way that cannot be imported. */
interface WebpModule {
  decode(bytes: Uint8Array): WasmImage;
}

/** Bytes that hold the size in each of the three kinds of WebP file. */
const HEADER_LENGTH = 30;

/**
 * Reads the size of a still WebP file from its first 30 bytes. `name` is used in errors. Throws SyntaxError.
 * Source: RFC 9649, sections 2.4 to 2.7 and 3.4; RFC 6386, section 9.1.
 */
export function readWebpHeader(bytes: Uint8Array, name: string): PictureHeader {
  if (ascii(bytes, 0) !== "RIFF" || ascii(bytes, 8) !== "WEBP") throw fail("signature is wrong");
  // The smallest lossless picture is shorter than 30 bytes, so missing bytes count as 0 and the decoder has its say.
  const start = new Uint8Array(HEADER_LENGTH);
  start.set(bytes.subarray(0, HEADER_LENGTH));
  const view = new DataView(start.buffer);
  const { width, height, alphaDropped } = readSize(view, { kind: ascii(bytes, 12), fail });
  const problem = sizeProblem(width, height);
  if (problem !== undefined) throw fail(problem);
  return { format: "webp", width, height, bitDepth: 8, alphaDropped };

  function fail(reason: string): SyntaxError {
    return pictureError("WebP", { name, reason });
  }
}

/**
 * Decodes a still WebP file, lossy or lossless; alpha is dropped (see Frame). `name` is used in errors. Throws
 * SyntaxError.
 */
export async function decodeWebp(bytes: Uint8Array, name: string): Promise<Frame> {
  const { width, height } = readWebpHeader(bytes, name);
  const wanted = 8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  if (bytes.length < wanted) {
    throw pictureError("WebP", { name, reason: `file has ${bytes.length} bytes, its header says ${wanted}` });
  }
  return await decodeInWasm<WebpModule>(createModule, {
    format: "WebP",
    name,
    width,
    height,
    decode: (module) => module.decode(bytes),
  });
}

/** `view` holds the first 30 bytes; `kind` is the first chunk's name. */
function readSize(
  view: DataView,
  options: { kind: string; fail: (reason: string) => SyntaxError },
): { width: number; height: number; alphaDropped: boolean } {
  const { kind, fail } = options;
  if (kind === "VP8X") {
    const flags = view.getUint8(20);
    if (flags & 0x02) throw fail("picture is animated, wanted a still picture");
    const width = 1 + (view.getUint32(24, true) & 0xffffff);
    const height = 1 + (view.getUint32(26, true) >>> 8);
    return { width, height, alphaDropped: (flags & 0x10) !== 0 };
  }
  if (kind === "VP8L") {
    if (view.getUint8(20) !== 0x2f) throw fail("lossless signature is wrong");
    const bits = view.getUint32(21, true);
    return {
      width: 1 + (bits & 0x3fff),
      height: 1 + (bits >> 14 & 0x3fff),
      alphaDropped: (bits >> 28 & 1) === 1,
    };
  }
  if (kind === "VP8 ") {
    if (view.getUint8(23) !== 0x9d || view.getUint16(24) !== 0x012a) throw fail("lossy start code is wrong");
    const width = view.getUint16(26, true) & 0x3fff;
    return { width, height: view.getUint16(28, true) & 0x3fff, alphaDropped: false };
  }
  throw fail("first chunk is neither VP8X, VP8L nor VP8");
}

function ascii(bytes: Uint8Array, offset: number): string {
  return String.fromCharCode(...bytes.subarray(offset, offset + 4));
}
