import { crc32 } from "node:zlib";
import { quote } from "./errors.ts";
import type { ByteSource } from "./unchanged_file.ts";

/** Enough for some 30,000 entries. */
const MAX_DIRECTORY_BYTES = 4 * 2 ** 20;
const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50;
const LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22, END64_BYTES = 56, LOCATOR64_BYTES = 20;
/** In a field of 32 bits: the number stands in the ZIP64 extra field. */
const IN_EXTRA = 0xffff_ffff;
const ZIP64_EXTRA = 1;
const ENCRYPTED = 1;

/** An entry of a ZIP archive that is stored as it is. */
export interface ZipEntry {
  readonly byteLength: number;
  /** Byte offset of its local header in the file. */
  readonly offset: number;
  readonly crc: number;
}

/** The entries of a ZIP archive that compresses nothing, as `torch.save` writes it. */
export class ZipFile {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly #source: ByteSource;

  private constructor(source: ByteSource, entries: ReadonlyMap<string, ZipEntry>) {
    this.#source = source;
    this.entries = entries;
  }

  /**
   * Reads the list of entries. Throws SyntaxError where `source` is no such archive: compressed, encrypted, with a
   * comment, or not ending with its directory.
   */
  static async open(source: ByteSource): Promise<ZipFile> {
    const directory = await locateDirectory(source);
    const { begin, end, count } = directory;
    check(begin <= end && end <= source.byteLength, "its directory lies outside the file");
    check(
      end - begin <= MAX_DIRECTORY_BYTES,
      `directory of ${end - begin} bytes, wanted at most ${MAX_DIRECTORY_BYTES}`,
    );
    return new ZipFile(source, parseDirectory(view(await source.read(begin, end)), { count, limit: begin }));
  }

  /**
   * The bytes of entry `name`; where they are read in order, all of them, their checksum is compared. Throws SyntaxError
   * for an entry that is not there or broken, and its reads do for other bytes than it has and a wrong checksum.
   */
  async entry(name: string): Promise<ByteSource> {
    const entry = this.entries.get(name);
    check(entry !== undefined, `it has no entry ${quote(name)}`);
    const broken = `entry ${quote(name)} does not lie where the directory says`;
    const { byteLength } = this.#source;
    check(entry.offset + LOCAL_BYTES <= byteLength, broken);
    const header = view(await this.#source.read(entry.offset, entry.offset + LOCAL_BYTES));
    // The lengths of name and extra field; the latter differs from the directory's, since it aligns the data.
    const data = entry.offset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
    check(header.getUint32(0, true) === LOCAL && data + entry.byteLength <= byteLength, broken);
    return new EntrySource(this.#source, { name, data, ...entry });
  }

  /** Reads the bytes from `begin` up to `end`, by default all, of entry `name`. Errors as `entry`. */
  async read(name: string, range: { begin?: number; end?: number } = {}): Promise<Uint8Array<ArrayBuffer>> {
    const entry = await this.entry(name);
    const { begin = 0, end = entry.byteLength } = range;
    return await entry.read(begin, end);
  }
}

/** The bytes of an entry that begin at `data` in the archive. */
class EntrySource implements ByteSource {
  readonly byteLength: number;
  readonly #archive: ByteSource;
  readonly #entry: ZipEntry & { readonly name: string; readonly data: number };
  /** How many bytes were read in order, and the checksum of these. */
  #summed = 0;
  #sum = 0;

  constructor(archive: ByteSource, entry: ZipEntry & { readonly name: string; readonly data: number }) {
    this.byteLength = entry.byteLength;
    this.#archive = archive;
    this.#entry = entry;
  }

  async read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const { name, byteLength } = this.#entry;
    check(begin <= end && end <= byteLength, `entry ${quote(name)} has no bytes ${begin} to ${end}`);
    const bytes = new Uint8Array(end - begin);
    await this.readInto(bytes, begin);
    return bytes;
  }

  async readInto(bytes: Uint8Array<ArrayBuffer>, begin: number): Promise<void> {
    const { name, data, crc } = this.#entry;
    await this.#archive.readInto(bytes, data + begin);
    if (begin !== this.#summed) return;
    this.#summed += bytes.length;
    this.#sum = crc32(bytes, this.#sum);
    const wrong = this.#summed === this.byteLength && this.#sum !== crc;
    check(!wrong, `entry ${quote(name)} does not fit its checksum`);
  }

  /** The archive stays open. */
  [Symbol.dispose](): void {}
}

/** Where the directory lies, and how many entries it has. */
async function locateDirectory(source: ByteSource): Promise<{ begin: number; end: number; count: number }> {
  const { byteLength } = source;
  check(byteLength >= END_BYTES, `${byteLength} bytes, wanted a ZIP archive`);
  const tail = view(await source.read(Math.max(0, byteLength - END_BYTES - LOCATOR64_BYTES), byteLength));
  const at = tail.byteLength - END_BYTES;
  check(
    tail.getUint32(at, true) === END && tail.getUint16(at + 20, true) === 0,
    "it does not end as a ZIP archive without a comment does",
  );
  if (at < LOCATOR64_BYTES || tail.getUint32(0, true) !== LOCATOR64) {
    const begin = tail.getUint32(at + 16, true);
    return { begin, end: begin + tail.getUint32(at + 12, true), count: tail.getUint16(at + 10, true) };
  }
  const end64 = uint64(tail, 8);
  check(end64 + END64_BYTES <= byteLength, "its directory lies outside the file");
  const record = view(await source.read(end64, end64 + END64_BYTES));
  check(record.getUint32(0, true) === END64, "its ZIP64 directory is not where it should be");
  const begin = uint64(record, 48);
  return { begin, end: begin + uint64(record, 40), count: uint64(record, 32) };
}

/** Entries by name. Their data must lie before `limit`, where the directory begins. */
function parseDirectory(
  bytes: DataView<ArrayBuffer>,
  { count, limit }: { readonly count: number; readonly limit: number },
): ReadonlyMap<string, ZipEntry> {
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  while (at < bytes.byteLength) {
    check(
      at + CENTRAL_BYTES <= bytes.byteLength && bytes.getUint32(at, true) === CENTRAL,
      `its directory is broken after ${entries.size} entries`,
    );
    const nameEnd = at + CENTRAL_BYTES + bytes.getUint16(at + 28, true);
    const extraEnd = nameEnd + bytes.getUint16(at + 30, true);
    const next = extraEnd + bytes.getUint16(at + 32, true);
    check(next <= bytes.byteLength, `its directory is broken after ${entries.size} entries`);
    const name = decode(new Uint8Array(bytes.buffer, at + CENTRAL_BYTES, nameEnd - at - CENTRAL_BYTES));
    check(!entries.has(name), `it has entry ${quote(name)} twice`);
    const flags = bytes.getUint16(at + 8, true), method = bytes.getUint16(at + 10, true);
    check(!(flags & ENCRYPTED) && method === 0, `entry ${quote(name)} is compressed or encrypted`);
    const [stored, byteLength, offset] = sizes(bytes, { at, extra: nameEnd, extraEnd });
    check(stored === byteLength, `entry ${quote(name)} has two sizes`);
    check(offset! + byteLength! <= limit, `entry ${quote(name)} lies outside the file`);
    entries.set(name, { byteLength: byteLength!, offset: offset!, crc: bytes.getUint32(at + 16, true) });
    at = next;
  }
  check(entries.size === count, `its directory has ${entries.size} entries, wanted ${count}`);
  return entries;
}

/** Stored size, size and offset of the directory's entry at `at`; large numbers stand in its extra field. */
function sizes(
  bytes: DataView,
  { at, extra, extraEnd }: { readonly at: number; readonly extra: number; readonly extraEnd: number },
): number[] {
  const large: number[] = [];
  for (let i = extra; i + 4 <= extraEnd;) {
    const end = i + 4 + bytes.getUint16(i + 2, true);
    check(end <= extraEnd, "its directory has a broken extra field");
    if (bytes.getUint16(i, true) === ZIP64_EXTRA) {
      for (let k = i + 4; k + 8 <= end; k += 8) large.push(uint64(bytes, k));
    }
    i = end;
  }
  // In the extra field the size comes before the stored size.
  const [byteLength, stored, offset] = [24, 20, 42].map((field) => {
    const value = bytes.getUint32(at + field, true);
    return value === IN_EXTRA ? large.shift() : value;
  });
  check(
    byteLength !== undefined && stored !== undefined && offset !== undefined,
    "its directory lacks a ZIP64 size",
  );
  return [stored, byteLength, offset];
}

function uint64(bytes: DataView, at: number): number {
  const value = bytes.getBigUint64(at, true);
  check(value <= BigInt(Number.MAX_SAFE_INTEGER), `it has a size of ${value} bytes`);
  return Number(value);
}

function view({ buffer }: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(buffer);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SyntaxError("it has a name that is not UTF-8");
  }
}

function check(holds: boolean, problem: string): asserts holds {
  if (!holds) throw new SyntaxError(problem);
}
