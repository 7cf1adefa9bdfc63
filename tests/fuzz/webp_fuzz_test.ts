import encode from "@jsquash/webp/encode.js";
import fc from "fast-check";
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { decodeWebp, readWebpHeader } from "../../src/media/webp.ts";
import { flatWebp } from "../media/flat_pictures.ts";
import { byteChanges, changeBytes } from "./_byte_changes.ts";
import { fuzzTest, reasonOf } from "./_fuzz.ts";
import { editParts, partEdit } from "./_part_edits.ts";

// WebP has no checksums. What can be told: a file shorter than it says, sizes that contradict each other, codes that are
// no codes, and coded data that ends before the picture does, to within the last few bytes. What cannot: coded data that
// means another picture. It is accepted, as another picture of the right size.

const REASONS = {
  "signature": /signature is wrong|first chunk is neither|start code is wrong/,
  "file too short": /file has \d+ bytes, its header says/,
  "size": /size is/,
  "animation": /picture is animated/,
  "coded data": /pixel data is corrupt/,
};

interface Chunk {
  readonly name: string;
  readonly data: Uint8Array;
}

const OPAQUE = pixels(255);
const TRANSLUCENT = pixels(77);
const corpus = [
  flatWebp(20, 12),
  ...await Promise.all(([
    [OPAQUE, { quality: 90 }],
    [OPAQUE, { quality: 20, partitions: 2 }],
    [OPAQUE, { lossless: 1 }],
    [TRANSLUCENT, { lossless: 1, exact: 1 }],
    [TRANSLUCENT, { quality: 75 }],
  ] as const).map(async ([image, options]) => new Uint8Array(await encode(image, options)))),
].map((bytes) => ({ bytes, chunks: splitChunks(bytes) }));

const file = fc.constantFrom(...corpus);

interface Case {
  readonly bytes: Uint8Array;
  /** The picture must come out as if nothing had happened ("whole"), must not come out ("cut"), or may ("changed"). */
  readonly kind: "whole" | "cut" | "changed";
  readonly original: Uint8Array;
}

const cases: fc.Arbitrary<Case> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.tuple(file, fc.constantFrom("EXIF", "XMP ", "junk"), fc.uint8Array({ maxLength: 9 })).map(
      ([{ bytes, chunks }, name, data]): Case => ({
        kind: "whole",
        original: bytes,
        bytes: joinChunks([...chunks, { name, data }]),
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(file, fc.nat()).map(([{ bytes, chunks }, at]): Case => {
      const longer = joinChunks([...chunks, { name: "EXIF", data: new Uint8Array(20) }]);
      return { kind: "cut", original: bytes, bytes: longer.subarray(0, at % longer.length) };
    }),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(file, fc.nat(), byteChanges(3)).map(([{ bytes, chunks }, at, changes]): Case => {
      const i = at % chunks.length, { name, data } = chunks[i]!;
      const changed = chunks.with(i, { name, data: changeBytes(data, changes) });
      return { kind: "changed", original: bytes, bytes: joinChunks(changed) };
    }),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(file, partEdit).map(([{ bytes, chunks }, edit]): Case => ({
      kind: "changed",
      original: bytes,
      bytes: joinChunks(editParts(chunks, edit)),
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(file, byteChanges(3)).map(([{ bytes }, changes]): Case => ({
      kind: "changed",
      original: bytes,
      bytes: changeBytes(bytes, changes),
    })),
  },
);

fuzzTest(
  "decodeWebp() refuses what is cut, keeps what is whole, and gives the header's size or its own error",
  {
    count: 10_000,
    cases,
    async run({ bytes, kind, original }) {
      let frame;
      try {
        frame = await decodeWebp(bytes, "x.webp");
      } catch (error) {
        ok(
          error instanceof SyntaxError && error.message.startsWith('Cannot decode WebP "x.webp": '),
          String(error),
        );
        ok(kind !== "whole", `refused a good file: ${error.message}`);
        return reasonOf(error.message, REASONS);
      }
      if (kind === "whole") deepStrictEqual(frame, await decodeWebp(original, "x.webp"));
      ok(kind !== "cut", "accepted a file that is cut");
      const { width, height } = readWebpHeader(bytes, "x.webp");
      deepStrictEqual([frame.width, frame.height], [width, height]);
      strictEqual(frame.data.length, 3 * width * height);
      return "accepted";
    },
  },
);

function pixels(alpha: number): ImageData {
  const samples = Uint8ClampedArray.from(
    { length: 4 * 20 * 12 },
    (_, i) => i % 4 === 3 ? alpha : i * 7 % 80 + (i >> 8) * 30,
  );
  return new ImageData(samples, 20, 12);
}

function splitChunks(bytes: Uint8Array): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const chunks: Chunk[] = [];
  for (let at = 12; at < bytes.length;) {
    const length = view.getUint32(at + 4, true);
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    chunks.push({ name, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 8 + length + length % 2;
  }
  return chunks;
}

/** A file of these chunks with right sizes. */
function joinChunks(chunks: readonly Chunk[]): Uint8Array {
  const body = chunks.flatMap(({ name, data }) => [
    ...ascii(name),
    ...littleEndian(data.length),
    ...data,
    ...(data.length % 2 ? [0] : []),
  ]);
  return Uint8Array.of(...ascii("RIFF"), ...littleEndian(4 + body.length), ...ascii("WEBP"), ...body);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function littleEndian(value: number): number[] {
  return [value & 255, value >> 8 & 255, value >> 16 & 255, value >>> 24];
}
