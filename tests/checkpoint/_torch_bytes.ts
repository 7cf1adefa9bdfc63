import { crc32 } from "node:zlib";

/** Entries of an archive by name. */
export type Entries = Readonly<Record<string, Uint8Array>>;

/** Fields of the archive's directory that are to be wrong or unusual. */
export interface ZipFaults {
  readonly method?: number;
  readonly flags?: number;
  readonly crc?: number;
  readonly comment?: string;
  readonly storedSize?: number;
  readonly offset?: number;
  readonly count?: number;
  /** Whether the entry's numbers stand in a ZIP64 extra field, as those of large files do; how many of them. */
  readonly inExtra?: number;
}

const IN_EXTRA = 0xffff_ffff;

/** A ZIP archive without compression; `faults` are put into the directory's last entry or the end record. */
export function zipBytes(entries: Entries, faults: ZipFaults = {}): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [], directory: Uint8Array[] = [];
  let offset = 0;
  const all = Object.entries(entries);
  for (const [i, [name, data]] of all.entries()) {
    const { method = 0, flags = 0, crc, storedSize = data.length, offset: at = offset, inExtra = 0 }:
      ZipFaults = i === all.length - 1 ? faults : {};
    const text = new TextEncoder().encode(name), sum = crc ?? crc32(data);
    const head = [20, flags, method, 0, 0], sizes = [sum, storedSize, data.length];
    parts.push(fields([0x04034b50], head, sizes, [text.length, 0]), text, data);
    const extra = [data.length, storedSize, at].slice(0, inExtra).flatMap((value) => [value, 0]);
    const extraField = inExtra > 0 ? fields([], [1, 4 * extra.length], extra) : new Uint8Array(0);
    const kept = inExtra > 0 ? [sum, IN_EXTRA, IN_EXTRA] : sizes;
    const lengths = [text.length, extraField.length, 0, 0, 0];
    const place = [0, inExtra > 0 ? IN_EXTRA : at];
    directory.push(fields([0x02014b50], [20, ...head], kept, lengths, place), text, extraField);
    offset += 30 + text.length + data.length;
  }
  const { comment = "", count = all.length } = faults;
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const end = fields([0x06054b50], [0, 0, count, count], [size, offset], [comment.length]);
  return joined(...parts, ...directory, end, new TextEncoder().encode(comment));
}

/** Lists of 32-bit and of 16-bit numbers in turn, little-endian. */
function fields(...lists: readonly (readonly number[])[]): Uint8Array {
  return joined(
    ...lists.flatMap((list, i) =>
      list.map((value) => new Uint8Array((i % 2 ? Uint16Array : Uint32Array).of(value).buffer))
    ),
  );
}

/** A tensor to be pickled; `storage` is the name of an entry below data/. */
export interface PickledTensor {
  readonly storage: string;
  readonly type?: string;
  readonly length: number;
  readonly begin?: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A pickle of an OrderedDict of tensors, without any memo. */
export function pickleBytes(tensors: Readonly<Record<string, PickledTensor>>): Uint8Array<ArrayBuffer> {
  const items = Object.entries(tensors).flatMap(([name, tensor]) => [text(name), pickledTensor(tensor)]);
  return joined(Uint8Array.of(0x80, 2), ORDERED_DICT, ascii("("), ...items, ascii("u."));
}

/** A file as `torch.save` makes it, of contiguous float32 tensors. */
export function torchBytes(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>,
): Uint8Array<ArrayBuffer> {
  const entries: Record<string, Uint8Array> = {}, pickled: Record<string, PickledTensor> = {};
  for (const [i, [name, { shape, data }]] of [...tensors].entries()) {
    const strides = shape.map((_, axis) =>
      shape.slice(axis + 1).reduce((product, size) => product * size, 1)
    );
    pickled[name] = { storage: `${i}`, length: data.length, shape, strides };
    entries[`archive/data/${i}`] = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  return zipBytes({ "archive/data.pkl": pickleBytes(pickled), ...entries });
}

/** All parts, one after the other. */
function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Text as bytes; opcodes are mostly letters. */
export function ascii(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

const ORDERED_DICT = ascii("ccollections\nOrderedDict\n)R");

function pickledTensor(tensor: PickledTensor): Uint8Array {
  const { storage, type = "FloatStorage", length, begin = 0, shape, strides } = tensor;
  return joined(
    ascii("ctorch._utils\n_rebuild_tensor_v2\n(("),
    text("storage"),
    ascii(`ctorch\n${type}\n`),
    ...[text(storage), text("cpu"), int(length)],
    ascii("tQ"),
    int(begin),
    ...[tuple(shape), tuple(strides), Uint8Array.of(0x89), ORDERED_DICT],
    ascii("tR"),
  );
}

function tuple(values: readonly number[]): Uint8Array {
  return joined(ascii("("), ...values.map(int), ascii("t"));
}

function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return joined(ascii("X"), new Uint8Array(Uint32Array.of(bytes.length).buffer), bytes);
}

function int(value: number): Uint8Array {
  return joined(ascii("J"), new Uint8Array(Int32Array.of(value).buffer));
}
