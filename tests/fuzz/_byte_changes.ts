import fc from "fast-check";

/** One change to binary data. Positions are taken modulo what there is. */
export interface ByteChange {
  readonly kind: "set" | "flip" | "word" | "remove" | "insert" | "repeat" | "cut";
  readonly at: number;
  readonly value: number;
}

/** What sizes and offsets overflow at, in 16 and in 32 bits. */
const WORDS = [
  0,
  1,
  2,
  0x7f,
  0x80,
  0xff,
  0x100,
  0x7fff,
  0x8000,
  0xffff,
  0x10000,
  0x7fffffff,
  0x80000000,
  0xffffffff,
];

const change: fc.Arbitrary<ByteChange> = fc.record({
  kind: fc.constantFrom("set", "set", "flip", "flip", "word", "remove", "insert", "repeat", "cut"),
  at: fc.nat(),
  value: fc.nat(),
});

/** One to `max` changes. */
export function byteChanges(max: number): fc.Arbitrary<ByteChange[]> {
  return fc.array(change, { minLength: 1, maxLength: max });
}

/** `bytes` after `changes`, no more than twice as long. */
export function changeBytes(bytes: Uint8Array, changes: readonly ByteChange[]): Uint8Array<ArrayBuffer> {
  const all = [...bytes];
  for (const { kind, at: position, value } of changes) {
    const at = position % Math.max(1, all.length);
    const few = 1 + value % 9;
    switch (kind) {
      case "set":
        all[at] = value % 256;
        break;
      case "flip":
        all[at] = (all[at] ?? 0) ^ 1 << value % 8;
        break;
      case "word": {
        const word = WORDS[value % WORDS.length]!;
        const size = value % 3 === 0 ? 2 : 4;
        for (let i = 0; i < size && at + i < all.length; i++) all[at + i] = word >>> 8 * (size - 1 - i) & 255;
        break;
      }
      case "remove":
        all.splice(at, few);
        break;
      case "insert":
        all.splice(at, 0, ...Array<number>(few).fill(value % 256));
        break;
      case "repeat":
        all.splice(at, 0, ...all.slice(at, Math.min(at + 8 * few, at + bytes.length)));
        break;
      case "cut":
        all.length = at;
    }
  }
  return Uint8Array.from(all);
}
