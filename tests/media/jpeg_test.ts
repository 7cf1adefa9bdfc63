import encode from "@jsquash/jpeg/encode.js";
import { deepStrictEqual, ok, rejects, strictEqual, throws } from "node:assert/strict";
import type { Frame } from "../../src/media/frame.ts";
import { decodeJpeg, readJpegHeader } from "../../src/media/jpeg.ts";
import { flatJpeg } from "./flat_pictures.ts";

const WIDTH = 37;
const HEIGHT = 22;
const SOURCE = gradient();
const PROGRESSIVE = await encodeJpeg({ progressive: true });
const BASELINE = await encodeJpeg({ progressive: false, baseline: true });
/** Offset of the frame header's marker. */
const SOF = findMarker(BASELINE, 0xc0);
const SOS = findMarker(BASELINE, 0xda);
const DHT = findMarker(BASELINE, 0xc4);

Deno.test("decodeJpeg() gives RGB close to what was encoded, baseline and progressive", async () => {
  for (const bytes of [BASELINE, PROGRESSIVE]) {
    const frame = await decodeJpeg(bytes, "x.jpg");
    deepStrictEqual([frame.width, frame.height, frame.bitDepth, frame.data.length], [37, 22, 8, 37 * 22 * 3]);
    ok(largestError(frame) <= 8, `${largestError(frame)}`);
  }
});

Deno.test("decodeJpeg() makes grey RGB", async () => {
  const bytes = await encodeJpeg({ color_space: 1 });
  const { data } = await decodeJpeg(bytes, "x.jpg");
  strictEqual(data.length, WIDTH * HEIGHT * 3);
  for (let i = 0; i < data.length; i += 3) ok(data[i] === data[i + 1] && data[i] === data[i + 2]);
});

Deno.test("decodeJpeg() accepts fill bytes before a marker and bytes after the end", async () => {
  const bytes = Uint8Array.of(...BASELINE.subarray(0, SOF), 0xff, 0xff, ...BASELINE.subarray(SOF), 1, 2, 3);
  deepStrictEqual(await decodeJpeg(bytes, "x"), await decodeJpeg(BASELINE, "x"));
});

Deno.test("decodeJpeg() refuses a file that is cut anywhere", async () => {
  for (const bytes of [BASELINE, PROGRESSIVE]) {
    for (let length = 0; length < bytes.length; length++) {
      await rejects(decodeJpeg(bytes.subarray(0, length), "cut"), { name: "SyntaxError" }, `${length} bytes`);
    }
  }
});

Deno.test("decodeJpeg() refuses damage that libjpeg paints over, and works afterwards", async () => {
  const bytes = BASELINE.slice();
  bytes.fill(0xaa, SOS + 40, bytes.length - 2);
  await rejects(decodeJpeg(bytes, "hurt.jpg"), {
    name: "SyntaxError",
    message: /^Cannot decode JPEG "hurt\.jpg": Corrupt JPEG data: /,
  });
  strictEqual((await decodeJpeg(BASELINE, "x")).width, WIDTH);
});

const BAD_HEADERS: readonly [title: string, offset: number, value: number[], reason: RegExp][] = [
  ["zero height", 5, [0, 0], /size is 37 x 0, wanted at least 1 x 1/],
  ["too many pixels", 5, [0xff, 0xdc, 0xff, 0xdc], /= 4290250000 pixels, wanted at most 67108864/],
  ["12 bits", 4, [12], /precision is 12 bits, wanted 8/],
  ["CMYK", 9, [4], /number of components is 4, wanted 1 or 3/],
  ["lossless", 1, [0xc3], /coding process is 3, wanted 0, 1 or 2/],
  ["arithmetic", 1, [0xc9], /coding process is 9, wanted/],
  ["segment length", 2, [0, 1], /has length 1, wanted at least 2/],
  ["no marker", 0, [0x12], /no marker at byte/],
];

for (const [title, offset, value, reason] of BAD_HEADERS) {
  Deno.test(`decodeJpeg() and readJpegHeader() refuse a bad header: ${title}`, async () => {
    const bytes = BASELINE.slice();
    bytes.set(value, SOF + offset);
    await rejects(decodeJpeg(bytes, "bad"), { name: "SyntaxError", message: reason });
    throws(() => readJpegHeader(bytes, "bad"), { name: "SyntaxError", message: reason });
  });
}

Deno.test("decodeJpeg() refuses a progressive file that is cut between scans and given an end", async () => {
  const starts = findMarkers(PROGRESSIVE, 0xda);
  strictEqual(starts.length, 4);
  for (const start of starts) {
    const cut = Uint8Array.of(...PROGRESSIVE.subarray(0, start), 0xff, 0xd9);
    await rejects(
      decodeJpeg(cut, "cut"),
      { message: /scans are missing|file has no picture/ },
      `at ${start}`,
    );
  }
});

Deno.test("decodeJpeg() refuses a scan that is sent again, so that scans cannot go on for ever", async () => {
  const scan = BASELINE.subarray(SOS, -2);
  const bytes = Uint8Array.of(...BASELINE.subarray(0, -2), ...scan, 0xff, 0xd9);
  await rejects(decodeJpeg(bytes, "bomb"), { message: /scan 2 does not follow on the scans before it/ });
});

/** Names of jpeg-decoder's crash tests (image-rs), and others that broke decoders; `length` bytes give way to `value`. */
const BAD_SEGMENTS: readonly [
  title: string,
  offset: number,
  length: number,
  value: number[],
  reason: RegExp,
][] = [
  ["max_size", SOF + 5, 4, [0xff, 0xff, 0xff, 0xff], /= 4294836225 pixels, wanted at most 67108864/],
  ["invalid dimensions", SOF + 7, 2, [0, 0], /size is 0 x 22, wanted at least 1 x 1/],
  ["missing SOF", SOF, 19, [], /scan comes before the frame header/],
  ["missing SOS", SOS, 14, [], /no marker at byte/],
  ["extraneous bytes after SOS", SOS + 3, 1, [13], /scan header of 3 components has 11 bytes/],
  ["invalid prediction shift", SOS + 13, 1, [0x0e], /scan 1 has coefficients 0 to 63 less 14 bits/],
  ["derive Huffman codes overflow", DHT + 5, 1, [3], /Bogus Huffman table definition/],
  ["sampling factor of zero", SOF + 11, 1, [0], /Bogus sampling factors/],
  [
    "missing quantization table",
    SOF + 12,
    1,
    [3],
    /No quantization table 3|Quantization table 0x03 was not defined/,
  ],
  ["frame header too long", SOF + 3, 1, [18], /frame header has 16 bytes, wanted 15/],
  ["components of one name", SOF + 13, 1, [1], /components are 1, 1, 3, wanted distinct/],
  ["restart marker between segments", SOF, 0, [0xff, 0xd0], /marker d0 is misplaced/],
  ["stuffed zero between segments", SOF, 0, [0xff, 0x00], /marker 0 is misplaced/],
  ["second start", SOF, 0, [0xff, 0xd8], /marker d8 is misplaced/],
  ["restart marker that no interval asks for", SOS + 40, 0, [0xff, 0xd0], /Corrupt JPEG data/],
  ["bytes between scan and end", BASELINE.length - 2, 0, [1, 2, 3, 4, 5, 6, 7, 8], /Corrupt JPEG data/],
];

for (const [title, offset, length, value, reason] of BAD_SEGMENTS) {
  Deno.test(`decodeJpeg() refuses a bad file: ${title}`, async () => {
    const bytes = Uint8Array.of(
      ...BASELINE.subarray(0, offset),
      ...value,
      ...BASELINE.subarray(offset + length),
    );
    await rejects(decodeJpeg(bytes, "bad"), { name: "SyntaxError", message: reason });
  });
}

Deno.test("decodeJpeg() reads on after restart markers, and refuses them in a wrong order", async () => {
  const bytes = flatJpeg(16);
  const scan = findMarker(bytes, 0xda);
  const interval = [0xff, 0xdd, 0, 4, 0, 1];
  // Each of the four blocks is two bits, filled up with ones. FF may be repeated.
  const restarted = (first: number) =>
    Uint8Array.of(
      ...bytes.subarray(0, scan),
      ...interval,
      ...bytes.subarray(scan, scan + 10),
      ...[0x3f, 0xff, first, 0x3f, 0xff, 0xff, 0xd1, 0x3f, 0xff, 0xd2, 0x3f, 0xff, 0xd9],
    );
  deepStrictEqual(await decodeJpeg(restarted(0xd0), "x"), await decodeJpeg(bytes, "x"));
  await rejects(decodeJpeg(restarted(0xd3), "x"), { message: /found marker 0xd3 instead of RST0/ });
});

Deno.test("decodeJpeg() accepts FF repeated before the end", async () => {
  const bytes = Uint8Array.of(...BASELINE.subarray(0, -2), 0xff, 0xff, 0xff, 0xd9);
  deepStrictEqual(await decodeJpeg(bytes, "x"), await decodeJpeg(BASELINE, "x"));
});

Deno.test("decodeJpeg() leaves a picture as it is stored, whatever its orientation tag says", async () => {
  const entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0];
  const tiff = [...ascii("Exif"), 0, 0, ...ascii("MM"), 0, 42, 0, 0, 0, 8, 0, 1, ...entry, 0, 0, 0, 0];
  const bytes = Uint8Array.of(0xff, 0xd8, 0xff, 0xe1, 0, tiff.length + 2, ...tiff, ...BASELINE.subarray(2));
  deepStrictEqual(await decodeJpeg(bytes, "x"), await decodeJpeg(BASELINE, "x"));
});

Deno.test("decodeJpeg() refuses files without picture or with two", async () => {
  await rejects(decodeJpeg(Uint8Array.of(0xff, 0xd8, 0xff, 0xd9), "x"), { message: /file has no picture/ });
  const sof = BASELINE.subarray(SOF, SOF + 19);
  const twice = Uint8Array.of(...BASELINE.subarray(0, SOF), ...sof, ...BASELINE.subarray(SOF));
  await rejects(decodeJpeg(twice, "x"), { message: /frame header appears twice/ });
  const none = Uint8Array.of(...BASELINE.subarray(0, SOF), ...BASELINE.subarray(SOF + 19));
  await rejects(decodeJpeg(none, "x"), { message: /scan comes before the frame header/ });
});

Deno.test("readJpegHeader() needs only what comes up to the frame header", () => {
  const header = readJpegHeader(BASELINE.subarray(0, SOF + 19), "x");
  deepStrictEqual(header, { format: "jpeg", width: 37, height: 22, bitDepth: 8, alphaDropped: false });
  throws(() => readJpegHeader(BASELINE.subarray(0, SOF + 18), "x"), { name: "SyntaxError" });
});

Deno.test({
  name: "decodeJpeg() says so when it has no permission to read its decoder",
  permissions: { read: false },
  fn: () =>
    rejects(decodeJpeg(BASELINE, "x"), {
      name: "Error",
      message: /^Cannot load the JPEG decoder: .*mozjpeg_dec\.wasm/,
    }),
});

/** Three channels that run in different directions, so that swapped channels or axes show. */
function gradient(): Uint8ClampedArray<ArrayBuffer> {
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 4);
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    const x = i % WIDTH;
    const y = Math.floor(i / WIDTH);
    data.set([x * 6, 255 - x * 6, y * 11, 255], 4 * i);
  }
  return data;
}

async function encodeJpeg(options: Parameters<typeof encode>[1]): Promise<Uint8Array> {
  const image = new ImageData(SOURCE, WIDTH, HEIGHT);
  return new Uint8Array(
    await encode(image, { quality: 100, auto_subsample: false, chroma_subsample: 1, ...options }),
  );
}

function largestError(frame: Frame): number {
  return Math.max(...frame.data.map((value, i) => Math.abs(value - SOURCE[Math.floor(i / 3) * 4 + i % 3]!)));
}

function findMarker(bytes: Uint8Array, marker: number): number {
  return findMarkers(bytes, marker)[0]!;
}

function findMarkers(bytes: Uint8Array, marker: number): number[] {
  return [...bytes.keys()].filter((i) => bytes[i] === 0xff && bytes[i + 1] === marker);
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}
