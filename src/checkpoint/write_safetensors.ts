/**
 * A safetensors file of float32 tensors, in pieces: first the header, then the data of each tensor. `shapes` are sizes
 * by name; `values` come in the same order, row-major. Throws RangeError where they do not fill their shape.
 */
export async function* writeSafetensors(
  shapes: ReadonlyMap<string, readonly number[]>,
  values: AsyncIterable<Float32Array>,
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(shapes);
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
    yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  const missing = expected.next();
  if (!missing.done) throw new RangeError(`Cannot write tensor "${missing.value[0]}": it has no values`);
}

/** Length of the header in 8 bytes, then JSON, padded with blanks so that data is aligned. */
function encodeHeader(shapes: ReadonlyMap<string, readonly number[]>): Uint8Array {
  let end = 0;
  const entries = [...shapes].map(([name, shape]) => {
    const begin = end;
    end += 4 * product(shape);
    return [name, { dtype: "F32", shape, data_offsets: [begin, end] }] as const;
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = 8 * Math.ceil(json.length / 8);
  const header = new Uint8Array(8 + length).fill(0x20);
  header.set(json, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  return header;
}

function product(shape: readonly number[]): number {
  return shape.reduce((size, dimension) => size * dimension, 1);
}
