/** A safetensors file: `header` is its JSON text, or the object or bytes for it; `data` follows as it is. */
export function safetensorsBytes(
  header: string | object,
  data: ArrayBufferView<ArrayBuffer> | number = 0,
): Uint8Array<ArrayBuffer> {
  const json = header instanceof Uint8Array
    ? header
    : new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number"
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const file = new Uint8Array(8 + json.length + body.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  file.set(body, 8 + json.length);
  return file;
}

/** A file of F32 tensors, all zeros, by name and shape. */
export function zeroTensors(shapes: Readonly<Record<string, readonly number[]>>): Uint8Array<ArrayBuffer> {
  let end = 0;
  const header = Object.entries(shapes).map(([name, shape]) => {
    const begin = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return [name, { dtype: "F32", shape, data_offsets: [begin, end] }];
  });
  return safetensorsBytes(Object.fromEntries(header), end);
}

/** Runs `use` with a new temporary folder and removes it afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "checkpoint_test_" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
