/** A grey baseline JPEG file of `size` x `size` pixels, a multiple of 8, in some bits per block. */
export function flatJpeg(size: number): Uint8Array {
  const side = [size >> 8, size & 255];
  /** Every block is the code 0 for "same as the one before", then the code 0 for "no more coefficients". */
  const pixels = new Uint8Array((size / 8) ** 2 / 4);
  const oneCode = [1, ...Array<number>(15).fill(0), 0];
  const head = [
    [0xff, 0xd8],
    [0xff, 0xdb, 0, 67, 0, ...Array<number>(64).fill(1)],
    [0xff, 0xc0, 0, 11, 8, ...side, ...side, 1, 1, 0x11, 0],
    [0xff, 0xc4, 0, 20, 0x00, ...oneCode],
    [0xff, 0xc4, 0, 20, 0x10, ...oneCode],
    [0xff, 0xda, 0, 8, 1, 1, 0x00, 0, 63, 0],
  ];
  return join([...head, pixels, [0xff, 0xd9]]);
}

/** A black lossless WebP file of 33 bytes and any size up to 16384 x 16384: codes of one symbol take no bits. */
export function flatWebp(width: number, height: number): Uint8Array {
  const bytes = join([ascii("RIFF"), [26, 0, 0, 0], ascii("WEBPVP8L"), [13, 0, 0, 0], new Uint8Array(14)]);
  const view = new DataView(bytes.buffer);
  view.setUint8(20, 0x2f);
  view.setUint32(21, width - 1 | height - 1 << 14, true);
  // No transforms, no colour cache, no groups of codes; then five simple codes of one symbol, 0.
  view.setUint32(25, 0b0001_0001_0001_0001_0001_000, true);
  return bytes;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function join(parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
