// Generated tensors: goldens store no weights, since each is a pure function of seed, name and shape. The
// goldens' author defines it bit for bit; every step is exact in float32 or rounded once.

/**
 * Input or noise of unit variance, uniform in ±√3.
 *
 * `name` is the golden case's name, a dot and the tensor's name. Values in row-major order of `shape`.
 */
export function signal(name: string, shape: readonly number[], seed = 0): Float32Array<ArrayBuffer> {
  return scaledUniform(`${seed}:${name}`, { count: product(shape), scale: 1.7320508 });
}

/**
 * Parameter of a size that keeps activations of order one.
 *
 * `name` is the network's prefix and the parameter's name in the checkpoint (`unet.conv_in.weight`). Values in
 * row-major order of `shape`. With two dimensions or more they spread by √(1 / fan_in) around 0; 1-D `weight`s and
 * `running_var`s lie around 1, other 1-D tensors within ±0.1.
 */
export function weight(name: string, shape: readonly number[], seed = 0): Float32Array<ArrayBuffer> {
  const count = product(shape);
  const key = `${seed}:${name}`;
  if (shape.length >= 2) {
    return scaledUniform(key, { count, scale: Math.sqrt(3 / product(shape.slice(1))) });
  }
  if (name.endsWith("running_var")) return onePlus(scaledUniform(key, { count, scale: 0.5 }));
  if (name.endsWith("weight")) return onePlus(scaledUniform(key, { count, scale: 0.2 }));
  return scaledUniform(key, { count, scale: 0.1 });
}

/** `count` values `fround(scale) * v`, rounded to float32, where `v` in [-1, 1) is hashed from `key` and index. */
function scaledUniform(
  key: string,
  { count, scale }: { count: number; scale: number },
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  // v has 24 bits and so has the scale: their product is exact in double, and storing it rounds once.
  const scale32 = Math.fround(scale);
  let state = fnv1a(key);
  for (let i = 0; i < count; i++) {
    let x = state;
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    x ^= x >>> 16;
    values[i] = ((x >>> 8) * 2 ** -23 - 1) * scale32;
    state = (state + 0x9e3779b9) | 0;
  }
  return values;
}

function onePlus(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  for (let i = 0; i < values.length; i++) values[i] = 1 + values[i]!;
  return values;
}

/** FNV-1a of the UTF-8 bytes, 32 bits. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5 | 0;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

function product(shape: readonly number[]): number {
  return shape.reduce((size, dimension) => size * dimension, 1);
}
