/** Takes the colours out of RGBA and leaves them as they are, see `Frame`. The samples, of 8 or 16 bits, are copied. */
export function dropAlpha(rgba: Uint8ClampedArray | Uint16Array): Uint8Array | Uint16Array {
  const length = rgba.length / 4 * 3;
  const data = rgba instanceof Uint16Array ? new Uint16Array(length) : new Uint8Array(length);
  for (let from = 0, to = 0; to < length; from += 4, to += 3) {
    data[to] = rgba[from]!;
    data[to + 1] = rgba[from + 1]!;
    data[to + 2] = rgba[from + 2]!;
  }
  return data;
}
