/** What `writeSafetensors` is told beside sizes and values. */
export interface WriteOptions {
  /** Names of the tensors that are rounded to float16. Default none. */
  readonly halves?: ReadonlySet<string> | undefined;
}

/**
 * A safetensors file of float32 and float16 tensors, in pieces: first the header, then the data of each tensor. `shapes`
 * are sizes by name; `values` come in the same order, row-major. Throws RangeError where they do not fill their shape.
 */
export async function* writeSafetensors(
  shapes: ReadonlyMap<string, readonly number[]>,
  values: AsyncIterable<Float32Array>,
  { halves = new Set() }: WriteOptions = {},
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(shapes, halves);
  const expected = shapes[Symbol.iterator]();
  for await (const data of values) {
    const next = expected.next();
    if (next.done) throw new RangeError(`Cannot write tensor ${shapes.size + 1}: ${shapes.size} are wanted`);
    const [name, shape] = next.value;
    if (data.length !== product(shape)) {
      throw new RangeError(
        `Cannot write tensor "${name}": it has ${data.length} values, [${shape}] takes ${product(shape)}`,
      );
    }
    const stored = halves.has(name) ? new Float16Array(data) : data;
    yield new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  }
  const missing = expected.next();
  if (!missing.done) throw new RangeError(`Cannot write tensor "${missing.value[0]}": it has no values`);
}

/** Length of the header in 8 bytes, then JSON, padded with blanks so that data is aligned. */
function encodeHeader(
  shapes: ReadonlyMap<string, readonly number[]>,
  halves: ReadonlySet<string>,
): Uint8Array {
  let end = 0;
  const entries = [...shapes].map(([name, shape]) => {
    const begin = end, half = halves.has(name);
    end += (half ? 2 : 4) * product(shape);
    return [name, { dtype: half ? "F16" : "F32", shape, data_offsets: [begin, end] }] as const;
  });
  // transformers reads no file without this mark of PyTorch's layout.
  const header = { __metadata__: { format: "pt" }, ...Object.fromEntries(entries) };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = 8 * Math.ceil(json.length / 8);
  const bytes = new Uint8Array(8 + length).fill(0x20);
  bytes.set(json, 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  return bytes;
}

function product(shape: readonly number[]): number {
  return shape.reduce((size, dimension) => size * dimension, 1);
}
