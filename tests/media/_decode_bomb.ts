// Run by png_bombs_test.ts: decodes the PNG that the argument names, and prints what came of it and by how many bytes the
// memory of the process has grown.

// deno-lint-ignore-file no-console -- a command prints

import { deflateSync } from "node:zlib";
import { decodePng } from "../../src/media/png.ts";
import { GREY_IDAT, GREY_IHDR, type PngChunk, pngFile } from "./png_file.ts";

const BOMBS: Readonly<Record<string, () => readonly PngChunk[]>> = {
  text() {
    const bomb = [0x78, 0, 0, ...deflateSync(new Uint8Array(2 ** 26))];
    return [GREY_IHDR, ["zTXt", bomb], ["iCCP", bomb], GREY_IDAT];
  },
  pixels: () => [GREY_IHDR, ["IDAT", deflateSync(new Uint8Array(2 ** 28))]],
  claim: () => [["IHDR", [0, 0, 32, 0, 0, 0, 32, 0, 16, 6, 0, 0, 0]], GREY_IDAT],
};

const bytes = pngFile(BOMBS[Deno.args[0]!]!());
await decodePng(pngFile([GREY_IHDR, GREY_IDAT]), "small"); // the decoder's own memory does not count
const before = Deno.memoryUsage().rss;
const result = await decodePng(bytes, "bomb").then(({ data }) => data.join(), ({ message }) => message);
console.log(JSON.stringify({ result, grownBytes: Deno.memoryUsage().rss - before }));
