// Run by decoder_memory_test.ts with little memory for WebAssembly: decodes one large and one small picture of each
// format, twice, and prints what came of it.

// deno-lint-ignore-file no-console -- a command prints

import { decodePicture } from "../../src/media/picture.ts";
import { encodePng } from "../../src/media/png.ts";
import { flatJpeg, flatWebp } from "./flat_pictures.ts";

/** Side in pixels; the RGBA of such a picture takes 144 MiB. */
const LARGE = 6144;
const SMALL = 16;

const outcomes: string[] = [];
for (const name of ["png", "jpeg", "webp"]) {
  const [large, small] = [LARGE, SMALL].map((size) => makePicture(name, size));
  for (const bytes of [large!, small!, large!, small!]) {
    const outcome = await decodePicture(bytes, name).then(
      ({ width }) => `${width}`,
      (error: Error) => `${error.name}: ${error.message}`,
    );
    outcomes.push(outcome);
  }
}
console.log(JSON.stringify(outcomes));

function makePicture(name: string, size: number): Uint8Array {
  if (name === "jpeg") return flatJpeg(size);
  if (name === "webp") return flatWebp(size, size);
  return encodePng({ width: size, height: size, bitDepth: 8, data: new Uint8Array(3 * size * size) });
}
