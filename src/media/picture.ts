import type { Frame, PictureFormat, PictureHeader } from "./frame.ts";
import { decodeJpeg, readJpegHeader } from "./jpeg.ts";
import { decodePng, readPngHeader } from "./png.ts";
import { pictureError } from "./picture_error.ts";
import { decodeWebp, readWebpHeader } from "./webp.ts";

/** Bytes that `sniffFormat` looks at. */
export const MAGIC_LENGTH = 12;

/** Tells a file's format from its first 12 bytes; undefined if it is none that can be read. */
export function sniffFormat(bytes: Uint8Array): PictureFormat | undefined {
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC_LENGTH));
  if (magic.startsWith("\x89PNG")) return "png";
  if (magic.startsWith("\xff\xd8\xff")) return "jpeg";
  if (magic.startsWith("RIFF") && magic.startsWith("WEBP", 8)) return "webp";
}

/**
 * Reads the header of a picture whose format its content tells. `bytes` may be the beginning of the file. `name` is
 * used in errors. Throws SyntaxError.
 */
export function readPictureHeader(bytes: Uint8Array, name: string): PictureHeader {
  switch (sniffFormat(bytes)) {
    case "png":
      return readPngHeader(bytes, name);
    case "jpeg":
      return readJpegHeader(bytes, name);
    case "webp":
      return readWebpHeader(bytes, name);
    default:
      throw unknownFormat(name);
  }
}

/** Decodes a picture whose format its content tells. `name` is used in errors. Throws SyntaxError. */
export async function decodePicture(bytes: Uint8Array, name: string): Promise<Frame> {
  switch (sniffFormat(bytes)) {
    case "png":
      return await decodePng(bytes, name);
    case "jpeg":
      return await decodeJpeg(bytes, name);
    case "webp":
      return await decodeWebp(bytes, name);
    default:
      throw unknownFormat(name);
  }
}

function unknownFormat(name: string): SyntaxError {
  return pictureError("picture", { name, reason: "content is neither PNG, JPEG nor WebP" });
}
