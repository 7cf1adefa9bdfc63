import { PNG_SIGNATURE } from "./png_chunks.ts";

/** The last chunk of every PNG file, IEND: no data, its type, its CRC. */
const END = Uint8Array.of(0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82);
/** Signature, and IHDR up to width and height. */
const HEAD_BYTES = 24;

/**
 * Says what shows that a file is not a whole PNG of this size: from its first and last bytes only, so that checking
 * costs nothing beside writing. Null where nothing does.
 */
export async function pngFileProblem(
  path: string,
  { width, height }: { readonly width: number; readonly height: number },
): Promise<string | null> {
  let head: Uint8Array<ArrayBuffer>, tail: Uint8Array;
  try {
    using file = await Deno.open(path);
    const { size } = await file.stat();
    if (size < HEAD_BYTES + END.length) return `it has ${size} bytes, too few for a PNG`;
    head = await read(file, { at: 0, length: HEAD_BYTES });
    tail = await read(file, { at: size - END.length, length: END.length });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "it is missing";
    throw error;
  }
  if (!PNG_SIGNATURE.every((byte, i) => byte === head[i])) return "it does not begin as a PNG";
  if (!END.every((byte, i) => byte === tail[i])) return "it does not end as a PNG";
  const view = new DataView(head.buffer);
  const found = `${view.getUint32(16)} x ${view.getUint32(20)}`;
  return found === `${width} x ${height}` ? null : `its size is ${found}, wanted ${width} x ${height}`;
}

async function read(
  file: Deno.FsFile,
  { at, length }: { readonly at: number; readonly length: number },
): Promise<Uint8Array<ArrayBuffer>> {
  await file.seek(at, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return bytes;
}
