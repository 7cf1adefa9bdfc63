import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Frame } from "../../src/media/frame.ts";
import { decodePng, encodePng, readPngHeader } from "../../src/media/png.ts";
import { deflate, type PngChunk, pngFile } from "./png_file.ts";
import hashes from "./pngsuite_hashes.json" with { type: "json" };

const SUITE = new URL("./pngsuite/", import.meta.url);
const SUITE_NAMES = [...Deno.readDirSync(SUITE)].map((entry) => entry.name).filter((name) =>
  name.endsWith(".png")
);
const REFUSED: Record<string, RegExp> = {
  "xc1n0g08.png": /colour type is 1, wanted/,
  "xc9n2c08.png": /colour type is 9, wanted/,
  "xcrn0g04.png": /signature is wrong/,
  "xcsn0g01.png": /CRC of IDAT at byte 49 is wrong/,
  "xd0n2c08.png": /bit depth is 0, colour type 2 wants 8, 16/,
  "xd3n2c08.png": /bit depth is 3, colour type 2 wants 8, 16/,
  "xd9n2c08.png": /bit depth is 99, colour type 2 wants 8, 16/,
  "xdtn0g01.png": /IDAT is missing/,
  "xhdn0g08.png": /CRC of IHDR at byte 8 is wrong/,
  "xlfn0g04.png": /signature is wrong/,
  "xs1n0g01.png": /signature is wrong/,
  "xs2n0g01.png": /signature is wrong/,
  "xs4n0g01.png": /signature is wrong/,
  "xs7n0g01.png": /signature is wrong/,
};

/** 2 x 2, 8-bit grey. */
const IHDR = [0, 0, 0, 2, 0, 0, 0, 2, 8, 0, 0, 0, 0];
const ROWS = [0, 10, 20, 0, 30, 40];

Deno.test("decodePng() gives the samples that Pillow and OpenCV give, for every valid PngSuite file", async () => {
  const expected: Record<string, string> = hashes;
  const valid = SUITE_NAMES.filter((name) => !name.startsWith("x"));
  strictEqual(valid.length, 161);
  for (const name of valid) {
    strictEqual(describe(await decodePng(readSuite(name), name)), expected[name], name);
  }
});

Deno.test("decodePng() refuses every corrupt PngSuite file, naming file and reason", async () => {
  deepStrictEqual(SUITE_NAMES.filter((name) => name.startsWith("x")).sort(), Object.keys(REFUSED));
  for (const [name, reason] of Object.entries(REFUSED)) {
    await rejects(decodePng(readSuite(name), name), (error: Error) => {
      strictEqual(error.name, "SyntaxError");
      ok(error.message.startsWith(`Cannot decode PNG "${name}": `), error.message);
      return reason.test(error.message);
    }, name);
  }
});

Deno.test("decodePng() refuses a file that is cut anywhere", async () => {
  const bytes = readSuite("basn2c08.png");
  for (let length = 0; length < bytes.length; length++) {
    await rejects(decodePng(bytes.subarray(0, length), "cut"), { name: "SyntaxError" }, `${length} bytes`);
  }
});

Deno.test("decodePng() refuses a file with any one byte changed", async () => {
  for (const name of ["s01n3p01.png", "basi0g01.png"]) {
    const bytes = readSuite(name);
    for (let i = 0; i < bytes.length; i++) {
      const changed = bytes.slice();
      changed[i]! ^= 0x20;
      await rejects(decodePng(changed, name), { name: "SyntaxError" }, `byte ${i}`);
    }
  }
});

Deno.test("decodePng() keeps 16-bit samples", async () => {
  const rows = [0, 0x12, 0x34, 0xff, 0xfe];
  const frame = await decodePng(
    pngFile([["IHDR", [0, 0, 0, 2, 0, 0, 0, 1, 16, 0, 0, 0, 0]], ["IDAT", deflate(rows)]]),
    "x",
  );
  deepStrictEqual(frame.data, Uint16Array.of(0x1234, 0x1234, 0x1234, 0xfffe, 0xfffe, 0xfffe));
});

Deno.test("decodePng() steps over ancillary chunks whatever they hold, and over bytes after the end", async () => {
  const bytes = pngFile([
    ["IHDR", IHDR],
    ["iCCP", [1, 2, 3]],
    ["zTXt", []],
    ["IDAT", deflate(ROWS)],
    ["abCd", [9]],
  ]);
  const { data } = await decodePng(Uint8Array.of(...bytes, 1, 2, 3), "x");
  deepStrictEqual([...data].filter((_, i) => i % 3 === 0), [10, 20, 30, 40]);
});

Deno.test("decodePng() joins a stream that is cut into many chunks, empty ones too", async () => {
  const parts = [...deflate(ROWS)].flatMap((byte): PngChunk[] => [["IDAT", [byte]], ["IDAT", []]]);
  strictEqual((await decodePng(pngFile([["IHDR", IHDR], ...parts]), "x")).data[3], 20);
});

const PALETTE_IHDR = [0, 0, 0, 2, 0, 0, 0, 2, 8, 3, 0, 0, 0];
const BAD_FILES: readonly [title: string, chunks: PngChunk[], reason: RegExp][] = [
  ["no IHDR", [["IDAT", deflate(ROWS)]], /first chunk is IDAT, wanted IHDR/],
  ["IHDR too short", [["IHDR", IHDR.slice(1)]], /IHDR has 12 bytes, wanted 13/],
  ["two IHDR", [["IHDR", IHDR], ["IHDR", IHDR]], /IHDR appears twice/],
  ["zero width", [["IHDR", IHDR.with(3, 0)]], /size is 0 x 2, wanted at least 1 x 1/],
  [
    "too many pixels",
    [["IHDR", [0, 0, 255, 255, 0, 0, 255, 255, ...IHDR.slice(8)]]],
    /= 4294836225 pixels, wanted at most/,
  ],
  ["largest size", [["IHDR", [...Array(8).fill(255), ...IHDR.slice(8)]]], /pixels, wanted at most 67108864/],
  [
    "too wide",
    [["IHDR", [0, 128, 0, 1, 0, 0, 0, 1, ...IHDR.slice(8)]]],
    /width is 8388609, wanted at most 8388608/,
  ],
  ["compression method", [["IHDR", IHDR.with(10, 1)]], /compression method is 1, wanted 0/],
  ["filter method", [["IHDR", IHDR.with(11, 1)]], /filter method is 1, wanted 0/],
  ["interlace method", [["IHDR", IHDR.with(12, 2)]], /interlace method is 2, wanted 0 or 1/],
  ["palette missing", [["IHDR", PALETTE_IHDR], ["IDAT", deflate(ROWS)]], /palette is missing/],
  ["palette in grey", [["IHDR", IHDR], ["PLTE", [1, 2, 3]]], /grey picture has a palette/],
  [
    "palette length",
    [["IHDR", PALETTE_IHDR], ["PLTE", [1, 2, 3, 4]]],
    /palette has 4 bytes, wanted 3 to 768/,
  ],
  ["palette empty", [["IHDR", PALETTE_IHDR], ["PLTE", []]], /palette has 0 bytes, wanted 3 to 768/],
  ["palette too long", [["IHDR", PALETTE_IHDR.with(8, 1)], ["PLTE", Array(9).fill(0)]], /wanted 3 to 6/],
  ["two palettes", [["IHDR", PALETTE_IHDR], ["PLTE", [1, 2, 3]], ["PLTE", [1, 2, 3]]], /PLTE appears twice/],
  [
    "palette after IDAT",
    [["IHDR", IHDR.with(9, 2)], ["IDAT", deflate(ROWS)], ["PLTE", [1, 2, 3]]],
    /PLTE comes after IDAT/,
  ],
  [
    "palette index",
    [["IHDR", PALETTE_IHDR], ["PLTE", [1, 2, 3]], ["IDAT", deflate([0, 0, 0, 0, 0, 1])]],
    /palette index is past the palette's 1 colours/,
  ],
  [
    "IDAT interrupted",
    [["IHDR", IHDR], ["IDAT", []], ["tEXt", []], ["IDAT", deflate(ROWS)]],
    /IDAT is interrupted by tEXt/,
  ],
  ["critical chunk", [["IHDR", IHDR], ["ABCD", []]], /critical chunk ABCD is unknown/],
  ["chunk type", [["IHDR", IHDR], ["a\x1bcd", []]], /chunk type at byte 37 is not four letters/],
  ["end with data", [["IHDR", IHDR], ["IDAT", deflate(ROWS)], ["IEND", [0]]], /IEND has 1 bytes, wanted 0/],
  [
    "too little pixel data",
    [["IHDR", IHDR], ["IDAT", deflate(ROWS.slice(1))]],
    /pixel data has 5 bytes, wanted 6/,
  ],
  [
    "too much pixel data",
    [["IHDR", IHDR], ["IDAT", deflate([...ROWS, 0])]],
    /longer than the picture's 6 bytes/,
  ],
  ["bomb", [["IHDR", IHDR], ["IDAT", deflate(new Uint8Array(2 ** 24))]], /longer than the picture's 6 bytes/],
  [
    "stream checksum",
    [["IHDR", IHDR], ["IDAT", flipLast(deflate(ROWS))]],
    /pixel data is corrupt \(incorrect data check\)/,
  ],
  ["stream cut", [["IHDR", IHDR], ["IDAT", deflate(ROWS).subarray(0, -2)]], /pixel data is corrupt/],
  ["no stream", [["IHDR", IHDR], ["IDAT", []]], /pixel data is corrupt/],
  ["filter type", [["IHDR", IHDR], ["IDAT", deflate(ROWS.with(3, 5))]], /filter type is 5, wanted 0 to 4/],
  [
    "filter type in an interlaced picture",
    [["IHDR", IHDR.with(12, 1)], ["IDAT", deflate([0, 10, 0, 20, 5, 30, 40])]],
    /filter type is 5, wanted 0 to 4/,
  ],
];

for (const [title, chunks, reason] of BAD_FILES) {
  Deno.test(`decodePng() refuses a bad file: ${title}`, async () => {
    await rejects(decodePng(pngFile(chunks), "bad.png"), (error: Error) => {
      strictEqual(error.name, "SyntaxError");
      return error.message.startsWith('Cannot decode PNG "bad.png": ') && reason.test(error.message);
    });
  });
}

Deno.test("decodePng() refuses a chunk that claims more than the file has", async () => {
  const bytes = pngFile([["IHDR", IHDR], ["IDAT", deflate(ROWS)]]);
  bytes.set([0x7f, 0xff, 0xff, 0xff], 33);
  await rejects(decodePng(bytes, "x"), {
    message: /IDAT at byte 33 has 2147483647 bytes, file has \d+ left/,
  });
});

Deno.test("readPngHeader() needs only what comes before the pixels", () => {
  const { width, height, bitDepth, colorType, interlaced } = readPngHeader(
    readSuite("basi2c16.png").subarray(0, 64),
    "x",
  );
  deepStrictEqual([width, height, bitDepth, colorType, interlaced], [32, 32, 16, 2, true]);
  throws(() => readPngHeader(readSuite("basn2c08.png").subarray(0, 32), "x"), { name: "SyntaxError" });
});

Deno.test("readPngHeader() tells whether there is alpha to drop", () => {
  const alpha = (name: string) => readPngHeader(readSuite(name), name).alphaDropped;
  deepStrictEqual(
    ["basn4a16.png", "basn6a08.png", "tbbn0g04.png", "tp1n3p08.png"].map(alpha),
    Array(4).fill(true),
  );
  deepStrictEqual(["basn0g08.png", "basn2c16.png", "tp0n3p08.png"].map(alpha), Array(3).fill(false));
});

Deno.test("encodePng() keeps every sample of 8 and 16 bits at any size", async () => {
  for (const [width, height] of [[1, 1], [1, 9], [13, 1], [7, 5], [64, 33]] as const) {
    for (const bitDepth of [8, 16] as const) {
      const frame = noise({ width, height, bitDepth });
      const bytes = encodePng(frame);
      deepStrictEqual(await decodePng(bytes, "x"), frame);
      const header = readPngHeader(bytes, "x");
      deepStrictEqual([header.sampleDepth, header.colorType, header.alphaDropped], [bitDepth, 2, false]);
    }
  }
});

Deno.test("encodePng() predicts: a smooth picture becomes small", () => {
  const data = Uint8Array.from({ length: 100 * 100 * 3 }, (_, i) => i / 300 + i % 300 / 3);
  const { length } = encodePng({ width: 100, height: 100, bitDepth: 8, data });
  ok(length < 1000, `${length} bytes`);
});

Deno.test("encodePng() refuses data that does not fit the size or the depth", () => {
  const frame = { width: 2, height: 1, bitDepth: 8, data: new Uint8Array(6) } as const;
  throws(() => encodePng({ ...frame, height: 2 }), {
    name: "RangeError",
    message: /Uint8Array of 6, .* wants Uint8Array of 12/,
  });
  throws(() => encodePng({ ...frame, bitDepth: 16 }), {
    name: "RangeError",
    message: /wants Uint16Array of 6/,
  });
  throws(() => encodePng({ ...frame, width: 0, data: new Uint8Array(0) }), { name: "RangeError" });
});

function flipLast(bytes: Uint8Array): Uint8Array {
  return bytes.with(-1, bytes.at(-1)! ^ 1);
}

function readSuite(name: string): Uint8Array {
  return Deno.readFileSync(new URL(name, SUITE));
}

/** As in pngsuite_hashes.json: size, depth and SHA-256 of the RGB samples, 16 bits little-endian. */
function describe(frame: Frame): string {
  const { width, height, bitDepth, data } = frame;
  const bytes = new Uint8Array(data.length * bitDepth / 8);
  const view = new DataView(bytes.buffer);
  data.forEach((value, i) => bitDepth === 8 ? view.setUint8(i, value) : view.setUint16(2 * i, value, true));
  return `${width}x${height} ${bitDepth} ${createHash("sha256").update(bytes).digest("hex")}`;
}

function noise(options: { width: number; height: number; bitDepth: 8 | 16 }): Frame {
  const { width, height, bitDepth } = options;
  const length = width * height * 3;
  const data = bitDepth === 8 ? new Uint8Array(length) : new Uint16Array(length);
  // Products of a large odd number walk through all values, the extremes included.
  return { ...options, data: data.map((_, i) => Math.imul(i, 0x9e3779b1) >>> 7) };
}
