import { createHash } from "node:crypto";

const PIECE_BYTES = 2 ** 20;

/** SHA-256 of a file's bytes, 64 hexadecimal digits; the file is read in pieces. */
export async function hashFile(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256"), piece = new Uint8Array(PIECE_BYTES);
  for (let length; (length = await file.read(piece)) !== null;) hash.update(piece.subarray(0, length));
  return hash.digest("hex");
}
