import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { deflateSync } from "node:zlib";
import { decodePng } from "../../src/media/png.ts";
import { deflate, type PngChunk, pngFile } from "./png_file.ts";

/** 2 x 1, 8-bit grey. */
const IHDR: PngChunk = ["IHDR", [0, 0, 0, 2, 0, 0, 0, 1, 8, 0, 0, 0, 0]];
const IDAT: PngChunk = ["IDAT", deflate([0, 10, 20])];
const PIXELS = [10, 10, 10, 20, 20, 20];

/** Of libpng's crash tests, `huge_*` and `empty_ancillary_chunks`, but for the critical ones; the last is unknown. */
const ANCILLARY = "bKGD cHRM eXIf gAMA hIST iCCP iTXt pCAL pHYs sCAL sPLT sRGB sTER tEXt tIME tRNS zTXt juNk"
  .split(" ");

Deno.test("decodePng() refuses a chunk of any type that claims 2 GiB, and takes one that is empty", async () => {
  for (const type of ANCILLARY) {
    const bytes = pngFile([IHDR, [type, []], IDAT]);
    deepStrictEqual([...(await decodePng(bytes, type)).data], PIXELS, type);
    bytes.set([0x7f, 0xff, 0xff, 0xff], 33);
    await rejects(decodePng(bytes, type), {
      name: "SyntaxError",
      message: new RegExp(`${type} at byte 33 has 2147483647 bytes, file has \\d+ left`),
    });
  }
});

Deno.test("decodePng() does not inflate what it does not need: 64 MiB of text and of colour profile", async () => {
  const bomb = deflateSync(new Uint8Array(2 ** 26));
  const head = [0x78, 0, 0];
  const bytes = pngFile([IHDR, ["zTXt", [...head, ...bomb]], ["iCCP", [...head, ...bomb]], IDAT]);
  const before = Deno.memoryUsage().rss;
  deepStrictEqual([...(await decodePng(bytes, "x")).data], PIXELS);
  const grown = Deno.memoryUsage().rss - before;
  strictEqual(grown < 2 ** 25, true, `memory has grown by ${grown} bytes`);
});

Deno.test("decodePng() stops inflating where the picture ends", async () => {
  const bytes = pngFile([IHDR, ["IDAT", deflateSync(new Uint8Array(2 ** 28))]]);
  const before = Deno.memoryUsage().rss;
  await rejects(decodePng(bytes, "x"), { message: /pixel data is longer than the picture's 3 bytes/ });
  const grown = Deno.memoryUsage().rss - before;
  strictEqual(grown < 2 ** 25, true, `memory has grown by ${grown} bytes`);
});

Deno.test("decodePng() takes no memory for pixels that a small file only claims", async () => {
  const bytes = pngFile([["IHDR", [0, 0, 32, 0, 0, 0, 32, 0, 16, 6, 0, 0, 0]], IDAT]);
  const before = Deno.memoryUsage().rss;
  await rejects(decodePng(bytes, "x"), { message: /pixel data has 3 bytes, wanted 536879104/ });
  const grown = Deno.memoryUsage().rss - before;
  strictEqual(grown < 2 ** 25, true, `memory has grown by ${grown} bytes`);
});

Deno.test("decodePng() takes thousands of empty IDATs and refuses more chunks than any encoder writes", async () => {
  const empty: PngChunk = ["IDAT", []];
  deepStrictEqual(
    [...(await decodePng(pngFile([IHDR, ...Array(10_000).fill(empty), IDAT]), "x")).data],
    PIXELS,
  );
  // IHDR, IDAT and IEND count too.
  const most = 2 ** 18 - 3;
  deepStrictEqual(
    [...(await decodePng(pngFile([IHDR, ...Array(most).fill(empty), IDAT]), "x")).data],
    PIXELS,
  );
  const bytes = pngFile([IHDR, ...Array(most + 1).fill(empty), IDAT]);
  await rejects(decodePng(bytes, "x"), { message: /number of chunks is over 262144/ });
});
