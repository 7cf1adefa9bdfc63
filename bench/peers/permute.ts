/** Reorders row-major `data` of `shape` so that axis i of the result is axis `order[i]` of the source. */
export function permute(
  data: Float32Array,
  { shape, order }: { readonly shape: readonly number[]; readonly order: readonly number[] },
): Float32Array<ArrayBuffer> {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const sizes = order.map((axis) => shape[axis]!), steps = order.map((axis) => strides[axis]!);
  const out = new Float32Array(data.length), inner = sizes.at(-1)!, step = steps.at(-1)!;
  const index = sizes.map(() => 0);
  let from = 0;
  for (let to = 0; to < out.length; to += inner) {
    for (let i = 0; i < inner; i++) out[to + i] = data[from + i * step]!;
    for (let axis = sizes.length - 2; axis >= 0; axis--) {
      from += steps[axis]!;
      if (++index[axis]! < sizes[axis]!) break;
      from -= steps[axis]! * sizes[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
