import encode from "@jsquash/webp/encode.js";
import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import { decodeWebp, readWebpHeader } from "../../src/media/webp.ts";

const WIDTH = 19;
const HEIGHT = 12;
const OPAQUE = pixels(255);
const LOSSY = await encodeWebp(OPAQUE, { quality: 100 });
const LOSSLESS = await encodeWebp(OPAQUE, { lossless: 1, exact: 1 });
const TRANSPARENT = await encodeWebp(pixels(3), { lossless: 1, exact: 1 });
/** Lossy with alpha, the kind with an extended header. */
const EXTENDED = await encodeWebp(pixels(3), { quality: 100, exact: 1 });

Deno.test("decodeWebp() gives lossless RGB back", async () => {
  const frame = await decodeWebp(LOSSLESS, "x.webp");
  deepStrictEqual([frame.width, frame.height, frame.bitDepth], [WIDTH, HEIGHT, 8]);
  deepStrictEqual([...frame.data], rgbOf(OPAQUE));
});

Deno.test("decodeWebp() drops alpha and keeps the colour under it", async () => {
  deepStrictEqual([...(await decodeWebp(TRANSPARENT, "x.webp")).data], rgbOf(OPAQUE));
});

Deno.test("decodeWebp() gives RGB close to what was encoded with loss", async () => {
  for (const bytes of [LOSSY, EXTENDED]) {
    const { data } = await decodeWebp(bytes, "x.webp");
    const wanted = rgbOf(OPAQUE);
    strictEqual(data.length, wanted.length);
    const error = Math.max(...data.map((value, i) => Math.abs(value - wanted[i]!)));
    ok(error <= 20, `${error}`);
  }
});

Deno.test("decodeWebp() refuses a file that is cut anywhere", async () => {
  for (const bytes of [LOSSY, LOSSLESS, EXTENDED]) {
    for (let length = 0; length < bytes.length; length++) {
      await rejects(decodeWebp(bytes.subarray(0, length), "cut"), { name: "SyntaxError" }, `${length} bytes`);
    }
  }
});

Deno.test("decodeWebp() refuses corrupt pixels, naming the file, and works afterwards", async () => {
  const bytes = LOSSLESS.slice();
  bytes.fill(0xff, 30);
  await rejects(decodeWebp(bytes, "hurt.webp"), {
    name: "SyntaxError",
    message:
      'Cannot decode WebP "hurt.webp": pixel data is corrupt, or there is a lack of memory for 19 x 12 pixels',
  });
  strictEqual((await decodeWebp(LOSSLESS, "x")).width, WIDTH);
});

Deno.test("decodeWebp() refuses a picture of another size than the header's", async () => {
  const bytes = EXTENDED.slice();
  bytes[24]! += 1;
  await rejects(decodeWebp(bytes, "x"), { name: "SyntaxError" });
});

Deno.test("readWebpHeader() reads all three kinds and tells whether there is alpha to drop", () => {
  const header = { format: "webp", width: WIDTH, height: HEIGHT, bitDepth: 8 };
  deepStrictEqual(readWebpHeader(LOSSY.subarray(0, 30), "x"), { ...header, alphaDropped: false });
  deepStrictEqual(readWebpHeader(LOSSLESS.subarray(0, 30), "x"), { ...header, alphaDropped: false });
  deepStrictEqual(readWebpHeader(TRANSPARENT.subarray(0, 30), "x"), { ...header, alphaDropped: true });
  deepStrictEqual(readWebpHeader(EXTENDED.subarray(0, 30), "x"), { ...header, alphaDropped: true });
});

const BAD_HEADERS: readonly [title: string, bytes: Uint8Array, reason: RegExp][] = [
  ["signature", patch(LOSSY, 8, [0]), /signature is wrong/],
  ["kind", patch(LOSSY, 15, [0x59]), /first chunk is neither VP8X, VP8L nor VP8/],
  ["lossy start code", patch(LOSSY, 23, [0]), /lossy start code is wrong/],
  ["lossless signature", patch(LOSSLESS, 20, [0]), /lossless signature is wrong/],
  ["animation", patch(EXTENDED, 20, [0x12]), /picture is animated, wanted a still picture/],
  ["zero width", patch(LOSSY, 26, [0, 0]), /size is 0 x 12, wanted at least 1 x 1/],
  ["too many pixels", patch(EXTENDED, 24, Array(6).fill(255)), /= 281474976710656 pixels, wanted at most/],
];

for (const [title, bytes, reason] of BAD_HEADERS) {
  Deno.test(`readWebpHeader() and decodeWebp() refuse a bad header: ${title}`, async () => {
    throws(() => readWebpHeader(bytes, "bad"), { name: "SyntaxError", message: reason });
    await rejects(decodeWebp(bytes, "bad"), { name: "SyntaxError", message: reason });
  });
}

function pixels(alpha: number): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 4);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    const x = i % WIDTH;
    const y = Math.floor(i / WIDTH);
    data.set([x * 13, 128 - x * 6, y * 21, alpha], 4 * i);
  }
  return data;
}

function rgbOf(rgba: Uint8ClampedArray): number[] {
  return [...rgba].filter((_, i) => i % 4 < 3);
}

async function encodeWebp(
  rgba: Uint8ClampedArray<ArrayBuffer>,
  options: Parameters<typeof encode>[1],
): Promise<Uint8Array> {
  return new Uint8Array(await encode(new ImageData(rgba, WIDTH, HEIGHT), options));
}

function patch(bytes: Uint8Array, offset: number, values: number[]): Uint8Array {
  const changed = bytes.slice();
  changed.set(values, offset);
  return changed;
}
