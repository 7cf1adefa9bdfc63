/** max(a + b, 0). */
export function residualRelu(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from(a, (v, i) => Math.max(v + b[i]!, 0));
}

/** `a` + `b`. */
export function add(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from(a, (v, i) => v + b[i]!);
}

/** a + factor · (b - a). */
export function extrapolate(a: ArrayLike<number>, b: ArrayLike<number>, factor: number): Float64Array {
  return Float64Array.from(a, (v, i) => v + factor * (b[i]! - v));
}

/** `a` · `b`. */
export function multiply(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from(a, (v, i) => v * b[i]!);
}

/** (1 - z) · h + z · q. */
export function gruUpdate(h: ArrayLike<number>, z: ArrayLike<number>, q: ArrayLike<number>): Float64Array {
  return Float64Array.from(h, (v, i) => (1 - z[i]!) * v + z[i]! * q[i]!);
}
