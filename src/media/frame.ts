/**
 * One picture.
 *
 * There is no alpha: the decoders drop it without compositing, so a transparent pixel keeps the colour that the
 * file stores for it. `PictureHeader.alphaDropped` tells which pictures this happens to.
 */
export interface Frame {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** Bits per sample. */
  readonly bitDepth: 8 | 16;
  /** RGB interleaved, row-major, width · height · 3 samples: Uint8Array for 8 bits, Uint16Array for 16. */
  readonly data: Uint8Array | Uint16Array;
}

/** Whether no channel varies by more than `tolerance`, a part of its range, over the picture; 0 for one exact colour. */
export function isBlank({ data, bitDepth }: Frame, tolerance = 0): boolean {
  const spread = tolerance * (2 ** bitDepth - 1);
  const low = [...data.subarray(0, 3)], high = [...low];
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!, channel = i % 3;
    if (value < low[channel]!) low[channel] = value;
    if (value > high[channel]!) high[channel] = value;
    if (high[channel]! - low[channel]! > spread) return false;
  }
  return true;
}

/** File formats that can be read. */
export type PictureFormat = "png" | "jpeg" | "webp";

/** What a picture file says about itself before its pixels are decoded. */
export interface PictureHeader {
  readonly format: PictureFormat;
  readonly width: number;
  readonly height: number;
  /** Bits per sample of the Frame that decoding gives. */
  readonly bitDepth: 8 | 16;
  /** The file can hold transparency (alpha channel or transparent colour), which decoding drops. */
  readonly alphaDropped: boolean;
}

/**
 * Largest picture that is decoded, in pixels (8192 x 8192), so that a small file cannot ask for any amount of memory.
 * Decoding it takes up to 2 GB as JPEG, WebP or 8-bit PNG, and up to 5 GB as 16-bit PNG.
 */
const MAX_PIXELS = 2 ** 26;

/** Says what is wrong with a picture's size, or returns undefined if it is 1 to MAX_PIXELS pixels. */
export function sizeProblem(width: number, height: number): string | undefined {
  if (width < 1 || height < 1) return `size is ${width} x ${height}, wanted at least 1 x 1`;
  if (width * height > MAX_PIXELS) {
    return `size is ${width} x ${height} = ${width * height} pixels, wanted at most ${MAX_PIXELS}`;
  }
}
