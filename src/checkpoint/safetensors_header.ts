import { CheckpointError, quote } from "./errors.ts";
import { parseJson } from "./strict_json.ts";
import type { ByteSource } from "./unchanged_file.ts";

/** The x4-upscaler's UNet needs 0.1 MiB; 16 MiB hold over 100,000 entries and still parse within a second. */
const MAX_HEADER_BYTES = 16 * 2 ** 20;
const MAX_TENSORS = 65_536;
const MAX_NAME_LENGTH = 1024;
/** The length that a pointer of Git LFS has where a header's would stand: "version ". */
const LFS_POINTER = 0x206e_6f69_7372_6576n;

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

/**
 * Reads and checks the header of a safetensors file: sizes, names, types, and that the tensors cover the data
 * exactly, without overlap or holes. `label` is what errors call the file. Throws CheckpointError.
 * Source: https://github.com/huggingface/safetensors, "Format".
 */
export async function readSafetensorsHeader(
  source: ByteSource,
  label: string,
): Promise<ReadonlyMap<string, TensorInfo>> {
  const fileBytes = source.byteLength;
  try {
    if (fileBytes < 8) throw new SyntaxError(`${fileBytes} bytes, wanted at least 8`);
    const headerBytes = new DataView((await source.read(0, 8)).buffer).getBigUint64(0, true);
    if (headerBytes === LFS_POINTER) {
      throw new SyntaxError('Git LFS left a pointer in its place, which "git lfs pull" replaces by the file');
    }
    if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
      throw new RangeError(`header of ${headerBytes} bytes, wanted at most ${MAX_HEADER_BYTES}`);
    }
    const dataBegin = 8 + Number(headerBytes);
    if (dataBegin > fileBytes) {
      throw new RangeError(`header of ${headerBytes} bytes in a file of ${fileBytes} bytes`);
    }
    return parseHeader(decodeHeader(await source.read(8, dataBegin)), { dataBegin, fileBytes });
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) {
      throw new CheckpointError(
        `Cannot read "${label}" as safetensors: ${error.message}; get the file again from the model's source`,
      );
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
