import fc from "fast-check";
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { decodePng } from "../../src/media/png.ts";
import { deflate, joinChunks, type PngChunk } from "../media/png_file.ts";
import * as reference from "../reference/png.ts";
import { byteChanges, changeBytes } from "./_byte_changes.ts";
import { fuzzTest, reasonOf } from "./_fuzz.ts";
import { editParts } from "./_part_edits.ts";

const REASONS = {
  "signature": /signature is wrong/,
  "file too short": /file ends at byte|file has \d+ left/,
  "CRC": /CRC of/,
  "chunk type": /is not four letters|critical chunk .* is unknown/,
  "chunk order": /first chunk is|appears twice|comes after IDAT|is interrupted by|IDAT is missing/,
  "chunk length": /IHDR has|IEND has/,
  "palette": /palette is missing|has a palette|palette has/,
  "colour type or depth": /colour type is|bit depth is/,
  "method": /method is/,
  "size": /size is|width is/,
  "compressed stream": /pixel data is corrupt/,
  "length of the pixels": /pixel data is longer|pixel data has/,
  "filter type": /filter type is/,
  "palette index": /palette index is past/,
};

const FORMS = [
  ...[1, 2, 4, 8, 16].map((depth) => ({ colorType: 0, depth, channels: 1 })),
  ...[1, 2, 4, 8].map((depth) => ({ colorType: 3, depth, channels: 1 })),
  ...[8, 16].flatMap((depth) =>
    [[2, 3], [4, 2], [6, 4]].map(([colorType, channels]) => ({ colorType, depth, channels }))
  ),
] as const;

/** Chunks of a picture without faults, but for palette indices: those may be past a short palette. */
const generated = fc.record({
  width: fc.integer({ min: 1, max: 9 }),
  height: fc.integer({ min: 1, max: 9 }),
  form: fc.constantFrom(...FORMS),
  interlaced: fc.boolean(),
  noise: fc.nat(),
  colors: fc.integer({ min: 1, max: 256 }),
  parts: fc.integer({ min: 1, max: 4 }),
  /** Bytes that the rows have too many or too few. */
  surplus: fc.constantFrom(0, 0, 0, 0, 0, 0, -1, 1, 7),
  filters: fc.constantFrom(5, 5, 5, 5, 6),
  ancillary: fc.boolean(),
}).map((picture): PngChunk[] => {
  const { form: { colorType, depth }, width, height, interlaced, parts } = picture;
  const stream = deflate(filteredRows(picture));
  const cut = Math.ceil(stream.length / parts);
  const colors = Math.min(picture.colors, 2 ** depth);
  return [
    ["IHDR", [0, 0, 0, width, 0, 0, 0, height, depth, colorType!, 0, 0, interlaced ? 1 : 0]],
    ...(colorType === 3 ? [["PLTE", randomBytes(3 * colors, picture.noise)] as const] : []),
    ...(picture.ancillary ? [["tRNS", [0]] as const] : []),
    ...Array.from({ length: parts }, (_, i): PngChunk => ["IDAT", stream.subarray(i * cut, (i + 1) * cut)]),
    ["IEND", []],
  ];
});

const SUITE = new URL("../media/pngsuite/", import.meta.url);
const corpus = [...Deno.readDirSync(SUITE)].map(({ name }) => name).filter((name) =>
  /^[^xP].*\.png$/.test(name)
).sort()
  .map((name) => Deno.readFileSync(new URL(name, SUITE))).filter(({ length }) => length < 2000).map(
    splitChunks,
  );

/** Known types of chunks, and unknown ones of each kind. */
const TYPES = ["IHDR", "PLTE", "IDAT", "IEND", "tRNS", "abcd", "ABCD", "1DAT"];

/** Changes to chunks; their lengths and CRCs are right again afterwards. */
const chunkChanges = fc.array(
  fc.record({
    kind: fc.constantFrom("data", "data", "data", "drop", "repeat", "swap", "type"),
    at: fc.nat(),
    other: fc.nat(),
    bytes: byteChanges(2),
  }),
  { minLength: 1, maxLength: 2 },
);

const files = fc.oneof(
  { weight: 4, arbitrary: generated.map(joinChunks) },
  {
    weight: 5,
    arbitrary: fc.tuple(fc.oneof(generated, fc.constantFrom(...corpus)), chunkChanges).map(
      ([chunks, changes]) => {
        let changed: readonly PngChunk[] = chunks;
        for (const { kind, at, other, bytes } of changes) {
          if (changed.length === 0) break;
          const i = at % changed.length, [type, data] = changed[i]!;
          if (kind === "data") changed = changed.with(i, [type, changeBytes(Uint8Array.from(data), bytes)]);
          else if (kind === "type") changed = changed.with(i, [TYPES[other % TYPES.length]!, data]);
          else changed = editParts(changed, { kind, at, other });
        }
        return joinChunks(changed);
      },
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.oneof(generated, fc.constantFrom(...corpus)), byteChanges(3)).map((
      [chunks, changes],
    ) => changeBytes(joinChunks(chunks), changes)),
  },
);

fuzzTest("decodePng() accepts exactly what the reference accepts, with the same pixels", {
  count: 10_000,
  cases: files,
  async run(bytes) {
    const wanted = referencePicture(bytes);
    let frame;
    try {
      frame = await decodePng(bytes, "x.png");
    } catch (error) {
      ok(
        error instanceof SyntaxError && error.message.startsWith('Cannot decode PNG "x.png": '),
        String(error),
      );
      strictEqual(wanted, undefined, `refused a good file: ${error.message}`);
      return reasonOf(error.message, REASONS);
    }
    deepStrictEqual({ ...frame, data: [...frame.data] }, wanted);
    return "accepted";
  },
});

function referencePicture(bytes: Uint8Array): reference.ReferencePicture | undefined {
  try {
    return reference.decodePng(bytes);
  } catch {
    return undefined;
  }
}

function filteredRows(picture: {
  readonly width: number;
  readonly height: number;
  readonly form: typeof FORMS[number];
  readonly interlaced: boolean;
  readonly noise: number;
  readonly surplus: number;
  readonly filters: number;
}): Uint8Array {
  const { width, height, form, interlaced, noise } = picture;
  const starts: number[] = [];
  let length = 0;
  for (const [x, y, dx, dy] of interlaced ? reference.ADAM7 : reference.WHOLE) {
    const columns = Math.ceil((width - x) / dx);
    for (let row = y; row < height && columns > 0; row += dy) {
      starts.push(length);
      length += 1 + Math.ceil(columns * form.channels! * form.depth / 8);
    }
  }
  const rows = randomBytes(Math.max(0, length + picture.surplus), noise);
  for (const start of starts) if (start < rows.length) rows[start]! %= picture.filters;
  return rows;
}

/** The same for the same `seed`; a linear congruential generator's upper bits. */
function randomBytes(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => (state = Math.imul(state, 1664525) + 1013904223 | 0) >>> 24);
}

function splitChunks(bytes: Uint8Array): PngChunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const chunks: PngChunk[] = [];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at)) {
    const type = new TextDecoder().decode(bytes.subarray(at + 4, at + 8));
    chunks.push([type, bytes.subarray(at + 8, at + 8 + view.getUint32(at))]);
  }
  return chunks;
}
