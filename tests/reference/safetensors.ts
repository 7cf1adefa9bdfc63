import { NumberText, parseStrictJsonBytes, type StrictJson } from "./strict_json.ts";

/** A tensor as it is stored. */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

const BITS: Readonly<Record<string, bigint>> = Object.assign(Object.create(null), {
  ...Object.fromEntries(["BOOL", "U8", "I8"].map((dtype) => [dtype, 8n])),
  ...Object.fromEntries(["E4M3", "E5M2", "E8M0", "E4M3FNUZ", "E5M2FNUZ"].map((kind) => [`F8_${kind}`, 8n])),
  ...Object.fromEntries(["U16", "I16", "F16", "BF16"].map((dtype) => [dtype, 16n])),
  ...Object.fromEntries(["U32", "I32", "F32"].map((dtype) => [dtype, 32n])),
  ...Object.fromEntries(["U64", "I64", "F64", "C64"].map((dtype) => [dtype, 64n])),
  F6_E2M3: 6n,
  F6_E3M2: 6n,
  F4: 4n,
});

const MAX_HEADER_BYTES = 16_777_216n;
const MAX_TENSORS = 65_536;
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * The tensors of a safetensors file by name, in the header's order. Throws an Error where the file breaks a rule of the
 * format or a limit of this program. Claims the data byte by byte, so it is for small files.
 */
export function parseSafetensors(file: Uint8Array): Map<string, StoredTensor> {
  check(file.length >= 8, "too short");
  const headerBytes = file.slice(0, 8).reduceRight((sum, byte) => 256n * sum + BigInt(byte), 0n);
  check(headerBytes <= MAX_HEADER_BYTES && 8n + headerBytes <= BigInt(file.length), "header past the end");
  const header = asObject(parseStrictJsonBytes(file.subarray(8, 8 + Number(headerBytes))));
  check(header.size <= MAX_TENSORS, "too many tensors"); // counts the metadata as well
  const data = file.subarray(8 + Number(headerBytes));
  const claimed = new Uint8Array(data.length);
  const inside = new Uint8Array(data.length + 1); // 1 where a tensor goes on from the byte before
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of header) {
    if (name === "__metadata__") {
      check([...asObject(entry).values()].every((value) => typeof value === "string"), "metadata");
      continue;
    }
    check(name.length >= 1 && name.length <= 1024, "name length");
    check(!["__proto__", "constructor", "prototype"].includes(name), "name");
    const { dtype, shape, begin, end } = parseEntry(asObject(entry));
    check(begin <= end && end <= data.length, "outside the data");
    for (let i = begin; i < end; i++) {
      check(claimed[i] === 0, "overlap");
      claimed[i] = 1;
      if (i > begin) inside[i] = 1;
    }
    tensors.set(name, { dtype, shape, bytes: data.slice(begin, end) });
  }
  check(claimed.every((byte) => byte === 1), "hole");
  for (const entry of [...header].flatMap(([name, e]) => name === "__metadata__" ? [] : [asObject(e)])) {
    check(inside[parseEntry(entry).begin] === 0, "an empty tensor inside another");
  }
  return tensors;
}

function parseEntry(
  entry: Map<string, StrictJson>,
): { dtype: string; shape: number[]; begin: number; end: number } {
  check([...entry.keys()].sort().join() === "data_offsets,dtype,shape", "keys of an entry");
  const dtype = entry.get("dtype");
  check(typeof dtype === "string" && dtype in BITS, "dtype");
  const shape = sizes(entry.get("shape")), offsets = sizes(entry.get("data_offsets"));
  check(offsets.length === 2, "offsets");
  let bits = BITS[dtype as string]!;
  for (const size of shape) {
    bits *= size;
    check(bits <= LARGEST, "too large");
  }
  const [begin, end] = offsets as [bigint, bigint];
  check(bits === 8n * (end - begin), "bytes of the shape");
  return { dtype: dtype as string, shape: shape.map(Number), begin: Number(begin), end: Number(end) };
}

function sizes(value: StrictJson | undefined): bigint[] {
  check(Array.isArray(value), "a list");
  return (value as StrictJson[]).map((size) => {
    check(size instanceof NumberText && /^\d+$/.test(size.text), "a size");
    const exact = BigInt((size as NumberText).text);
    check(exact <= LARGEST, "a size too large");
    return exact;
  });
}

function asObject(value: StrictJson): Map<string, StrictJson> {
  check(value instanceof Map, "an object");
  return value as Map<string, StrictJson>;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}
