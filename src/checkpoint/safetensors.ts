import { CheckpointError, quote } from "./errors.ts";
import { parseJson } from "./strict_json.ts";

/** The x4-upscaler's UNet needs 0.1 MiB; 16 MiB hold over 100,000 entries and still parse within a second. */
const MAX_HEADER_BYTES = 16 * 2 ** 20;
const MAX_TENSORS = 65_536;
const MAX_NAME_LENGTH = 1024;

/** Names that would reach an object's prototype if they ever became a property key. */
const FORBIDDEN_NAMES: readonly string[] = ["__proto__", "constructor", "prototype"];

/** Bits of one element, for every type the format knows. */
const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ["BOOL", 8],
  ["U8", 8],
  ["I8", 8],
  ["U16", 16],
  ["I16", 16],
  ["U32", 32],
  ["I32", 32],
  ["U64", 64],
  ["I64", 64],
  ["F16", 16],
  ["BF16", 16],
  ["F32", 32],
  ["F64", 64],
  ["C64", 64],
  ["F8_E4M3", 8],
  ["F8_E5M2", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["F4", 4],
]);

/** Where one tensor lies: `begin` and `end` are byte offsets in the file, elements row-major little-endian. */
export interface TensorInfo {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** An open safetensors file whose header has been checked; tensor data is read on demand, one range at a time. */
export class SafetensorsFile implements Disposable {
  /** What errors call the file. */
  readonly label: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #file: Deno.FsFile;
  readonly #opened: Deno.FileInfo;
  /** Reads share the file's position, so each waits for the one before. */
  #lastRead: Promise<unknown> = Promise.resolve();

  private constructor(
    file: Deno.FsFile,
    content: { label: string; opened: Deno.FileInfo; tensors: ReadonlyMap<string, TensorInfo> },
  ) {
    this.#file = file;
    this.#opened = content.opened;
    this.label = content.label;
    this.tensors = content.tensors;
  }

  /**
   * Opens `path` and checks its header: sizes, names, types, and that the tensors cover the data exactly, without
   * overlap or holes. `label` is what errors call the file. Throws CheckpointError, or Deno's error if the file
   * cannot be opened.
   */
  static async open(path: string, label: string = path): Promise<SafetensorsFile> {
    const file = await Deno.open(path, { read: true });
    try {
      const opened = await file.stat();
      const tensors = await readHeader(file, { label, fileBytes: opened.size });
      return new SafetensorsFile(file, { label, opened, tensors });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * Reads tensor `name` (F32, F16 or BF16) as float32, row-major. Conversion is exact.
   * Throws CheckpointError for another type, for NaN or infinity, or if the file has changed since it was opened.
   */
  async read(name: string): Promise<Float32Array> {
    const { dtype } = this.#info(name);
    if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
      throw new CheckpointError(
        `Cannot read tensor ${quote(name)} of "${this.label}": type ${dtype}, wanted F32, F16 or BF16`,
      );
    }
    const data = toFloat32(dtype, await this.readBytes(name));
    for (let i = 0; i < data.length; i++) {
      if (!Number.isFinite(data[i])) {
        throw new CheckpointError(
          `Cannot read tensor ${quote(name)} of "${this.label}": element ${i} is ${
            data[i]
          }, wanted finite weights`,
        );
      }
    }
    return data;
  }

  /** Reads the bytes of tensor `name`, of any type, as stored. */
  readBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const info = this.#info(name);
    const bytes = this.#lastRead.then(() => this.#readRange(info));
    this.#lastRead = bytes.catch(() => {}); // a failed read is its caller's error, not the next one's
    return bytes;
  }

  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info === undefined) {
      throw new CheckpointError(
        `Cannot read tensor ${quote(name)} of "${this.label}": there is none of that name`,
      );
    }
    return info;
  }

  async #readRange({ begin, end }: TensorInfo): Promise<Uint8Array<ArrayBuffer>> {
    await this.#file.seek(begin, Deno.SeekMode.Start);
    const bytes = new Uint8Array(end - begin);
    const complete = await fill(this.#file, bytes);
    const now = await this.#file.stat();
    if (
      !complete || now.size !== this.#opened.size || now.mtime?.getTime() !== this.#opened.mtime?.getTime()
    ) {
      throw new CheckpointError(`Cannot read "${this.label}": it was changed while being read`);
    }
    return bytes;
  }
}

/** Fills `bytes` from the file's position; false if the file ends before. */
async function fill(file: Deno.FsFile, bytes: Uint8Array): Promise<boolean> {
  let filled = 0;
  while (filled < bytes.length) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) return false;
    filled += count;
  }
  return true;
}

async function readHeader(
  file: Deno.FsFile,
  { label, fileBytes }: { label: string; fileBytes: number },
): Promise<ReadonlyMap<string, TensorInfo>> {
  try {
    if (fileBytes < 8) throw new SyntaxError(`${fileBytes} bytes, wanted at least 8`);
    const prefix = new Uint8Array(8);
    if (!await fill(file, prefix)) throw new SyntaxError("it ended while being read");
    const headerBytes = new DataView(prefix.buffer).getBigUint64(0, true);
    if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
      throw new RangeError(`header of ${headerBytes} bytes, wanted at most ${MAX_HEADER_BYTES}`);
    }
    const dataBegin = 8 + Number(headerBytes);
    if (dataBegin > fileBytes) {
      throw new RangeError(`header of ${headerBytes} bytes in a file of ${fileBytes} bytes`);
    }
    const header = new Uint8Array(Number(headerBytes));
    if (!await fill(file, header)) throw new SyntaxError("it ended while being read");
    return parseHeader(decodeHeader(header), { dataBegin, fileBytes });
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) {
      throw new CheckpointError(`Cannot read "${label}" as safetensors: ${error.message}`);
    }
    throw error;
  }
}

function decodeHeader(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SyntaxError("the header is not UTF-8");
  }
}

function parseHeader(
  text: string,
  { dataBegin, fileBytes }: { dataBegin: number; fileBytes: number },
): ReadonlyMap<string, TensorInfo> {
  const header = parseJson(text, { plainIntegers: true });
  if (!isRecord(header)) throw new SyntaxError("the header is not a JSON object");
  const entries = Object.entries(header);
  if (entries.length > MAX_TENSORS) {
    throw new RangeError(`${entries.length} tensors, wanted at most ${MAX_TENSORS}`);
  }
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of entries) {
    if (name === "__metadata__") checkMetadata(entry);
    else tensors.set(name, parseEntry(name, { entry, dataBegin }));
  }
  checkCoverage(tensors, { dataBegin, fileBytes });
  return tensors;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checkMetadata(entry: unknown): void {
  if (!isRecord(entry) || !Object.values(entry).every((value) => typeof value === "string")) {
    throw new SyntaxError("__metadata__ is not an object of strings");
  }
}

function parseEntry(name: string, { entry, dataBegin }: { entry: unknown; dataBegin: number }): TensorInfo {
  if (name.length === 0 || name.length > MAX_NAME_LENGTH || FORBIDDEN_NAMES.includes(name)) {
    throw new SyntaxError(`tensor name ${quote(name)} is not allowed`);
  }
  const where = `tensor ${quote(name)}`;
  if (!isRecord(entry)) throw new SyntaxError(`${where} is not an object`);
  const { dtype, shape, data_offsets: offsets, ...rest } = entry;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new SyntaxError(`${where} has an unknown key ${quote(unknown)}`);
  const bits = typeof dtype === "string" ? DTYPE_BITS.get(dtype) : undefined;
  if (bits === undefined) throw new SyntaxError(`${where} has an unknown dtype ${quote(dtype)}`);
  if (!isSizes(shape)) throw new SyntaxError(`${where} has shape ${quote(shape)}, wanted a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw new SyntaxError(`${where} has data_offsets ${quote(offsets)}, wanted [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  const totalBits = shape.reduce((product, size) => {
    if (!Number.isSafeInteger(product * size)) {
      throw new RangeError(`${where} has a shape too large to count`);
    }
    return product * size;
  }, bits);
  if (totalBits % 8 !== 0) throw new RangeError(`${where} does not fill whole bytes`);
  if (end - begin !== totalBits / 8) {
    throw new RangeError(
      `${where} lies in bytes ${begin} to ${end}, but ${dtype} ${quote(shape)} takes ${totalBits / 8} bytes`,
    );
  }
  return { dtype: dtype as string, shape, begin: dataBegin + begin, end: dataBegin + end };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Tensors must follow one another from the first data byte to the file's last: nothing can hide between them. */
function checkCoverage(
  tensors: ReadonlyMap<string, TensorInfo>,
  { dataBegin, fileBytes }: { dataBegin: number; fileBytes: number },
): void {
  const sorted = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let end = dataBegin;
  for (const [name, info] of sorted) {
    if (info.begin !== end) {
      throw new RangeError(
        `tensor ${quote(name)} begins at data byte ${info.begin - dataBegin}, ` +
          `but the one before ends at ${end - dataBegin}`,
      );
    }
    end = info.end;
  }
  if (end !== fileBytes) {
    throw new RangeError(`its tensors end at byte ${end}, but the file has ${fileBytes} bytes`);
  }
}

/** `bytes` own their buffer; every platform of Deno is little-endian, as the format is. */
function toFloat32(dtype: "F32" | "F16" | "BF16", { buffer }: Uint8Array<ArrayBuffer>): Float32Array {
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F16") return new Float32Array(new Float16Array(buffer));
  const halves = new Uint16Array(buffer);
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}
