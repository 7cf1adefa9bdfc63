import encode from "@jsquash/jpeg/encode.js";
import fc from "fast-check";
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { decodeJpeg } from "../../src/media/jpeg.ts";
import { flatJpeg } from "../media/flat_pictures.ts";
import { byteChanges, changeBytes } from "./_byte_changes.ts";
import { fuzzTest, reasonOf } from "./_fuzz.ts";
import { editParts, partEdit } from "./_part_edits.ts";

// JPEG has no checksums. What can be told: a file that ends early, lacks a scan or has one too many, and coded data that
// is too short, too long or holds a code that no table has. What cannot: a changed table, or changed coded data that
// happens to be just as long as the right one. The latter are accepted as another picture of the right size.

const REASONS = {
  "signature": /signature is wrong/,
  "file too short": /file ends/,
  "size": /size is|image dimension/,
  "codec without it": /not implemented|Unsupported/,
  "frame header": /frame header|precision is|number of components|coding process|components are/,
  "marker": /no marker at|is misplaced|has length/,
  "scan order": /scans are missing|scan comes before|file has no picture|does not follow/,
  "scan header": /scan header|scan \d+ has|number of scans/,
  "tables": /Bogus (?:Huffman table|D[QHA][TC]|Huffman)|[Qq]uantization table|Huffman table .* not defined/,
  "sampling": /sampling|CCIR601/,
  "segment length": /Bogus marker length/,
  "JFIF or Adobe marker": /JFIF|Adobe|Unknown Adobe color/,
  "coded data": /Corrupt JPEG data/,
  "progression": /progressi/i,
  "sequential scan header": /Invalid SOS parameters/,
};

interface Segment {
  readonly marker: number;
  /** From the marker up to the next, coded data included. */
  readonly bytes: Uint8Array;
}

const PIXELS = new ImageData(
  Uint8ClampedArray.from({ length: 4 * 20 * 12 }, (_, i) => i % 4 === 3 ? 255 : i * 7 % 80 + (i >> 8) * 30),
  20,
  12,
);
const corpus = [
  flatJpeg(16),
  ...await Promise.all([
    { progressive: false, baseline: true, quality: 90 },
    // Has 16-bit quantization tables, about which the encoder prints a caution.
    { progressive: false, quality: 30, optimize_coding: true },
    { progressive: true, quality: 75 },
    { progressive: true, quality: 95, color_space: 1 },
    { progressive: false, quality: 75, auto_subsample: false, chroma_subsample: 1 },
  ].map(async (options) => new Uint8Array(await encode(PIXELS, options)))),
].map((bytes) => ({ bytes, segments: splitSegments(bytes) }));

const file = fc.constantFrom(...corpus);
/** Something that no decoder looks into: a comment, or data of some application. */
const metadata = fc.record({
  marker: fc.constantFrom(0xfe, 0xe1, 0xe2, 0xed),
  content: fc.uint8Array({ maxLength: 40 }),
  at: fc.nat(),
});

interface Case {
  readonly bytes: Uint8Array;
  /** The picture must come out as if nothing had happened ("whole"), must not come out ("cut"), or may ("changed"). */
  readonly kind: "whole" | "cut" | "changed";
  readonly original: Uint8Array;
}

const cases: fc.Arbitrary<Case> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.tuple(file, metadata).map(([{ bytes, segments }, { marker, content, at }]): Case => {
      const extra = { marker, bytes: Uint8Array.of(0xff, marker, 0, content.length + 2, ...content) };
      const changed = segments.toSpliced(1 + at % (segments.length - 1), 0, extra);
      return { kind: "whole", original: bytes, bytes: joinSegments(changed) };
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(file, fc.nat(), fc.boolean()).map(([{ bytes }, at, ended]): Case => {
      const cut = bytes.subarray(0, at % (bytes.length - 2));
      return { kind: "cut", original: bytes, bytes: ended ? Uint8Array.of(...cut, 0xff, 0xd9) : cut };
    }),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(file, fc.nat(), byteChanges(2)).map(([{ bytes, segments }, at, changes]): Case => {
      const i = at % segments.length, { marker, bytes: old } = segments[i]!;
      const changed = segments.with(i, { marker, bytes: changeBytes(old, changes) });
      return { kind: "changed", original: bytes, bytes: joinSegments(changed) };
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(file, partEdit).map(([{ bytes, segments }, edit]): Case => ({
      kind: "changed",
      original: bytes,
      bytes: joinSegments(editParts(segments, edit)),
    })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(file, byteChanges(3)).map(([{ bytes }, changes]): Case => ({
      kind: "changed",
      original: bytes,
      bytes: changeBytes(bytes, changes),
    })),
  },
);

fuzzTest(
  "decodeJpeg() refuses what is cut, keeps what is whole, and gives the header's size or its own error",
  {
    count: 10_000,
    cases,
    async run({ bytes, kind, original }) {
      let frame;
      try {
        frame = await decodeJpeg(bytes, "x.jpg");
      } catch (error) {
        ok(
          error instanceof SyntaxError && error.message.startsWith('Cannot decode JPEG "x.jpg": '),
          String(error),
        );
        ok(kind !== "whole", `refused a good file: ${error.message}`);
        return reasonOf(error.message, REASONS);
      }
      if (kind === "whole") deepStrictEqual(frame, await decodeJpeg(original, "x.jpg"));
      ok(kind !== "cut", "accepted a file that is cut");
      ok(
        frameSizes(bytes).includes(`${frame.width} x ${frame.height}`),
        `size is ${frame.width} x ${frame.height}`,
      );
      strictEqual(frame.data.length, 3 * frame.width * frame.height);
      return "accepted";
    },
  },
);

/** Cuts at every marker, but not at stuffed zeros, fill bytes and restart markers. */
function splitSegments(bytes: Uint8Array): Segment[] {
  const segments: Segment[] = [];
  for (let at = 0; at < bytes.length;) {
    let end = at + 2;
    const marker = bytes[at + 1]!;
    // A segment's length leads past what looks like a marker within it.
    if (marker !== 0xd8 && marker !== 0xd9) end += bytes[at + 2]! << 8 | bytes[at + 3]!;
    while (
      end < bytes.length && !(bytes[end] === 0xff && (bytes[end + 1]! > 0xd7 || isFrame(bytes[end + 1]!)))
    ) end++;
    segments.push({ marker, bytes: bytes.subarray(at, end) });
    at = end;
  }
  return segments;
}

/** The sizes in whatever looks like a frame header of one or three components. */
function frameSizes(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [...bytes.keys()].filter((i) =>
    bytes[i] === 0xff && bytes[i + 1]! >> 2 === 0x30 && i + 9 <= bytes.length &&
    [11, 17].includes(view.getUint16(i + 2))
  ).map((i) => `${view.getUint16(i + 7)} x ${view.getUint16(i + 5)}`);
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf;
}

function joinSegments(segments: readonly Segment[]): Uint8Array {
  return Uint8Array.from(segments.flatMap(({ bytes }) => [...bytes]));
}
