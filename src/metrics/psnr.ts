import type { Frame } from "../media/frame.ts";

/**
 * Peak signal-to-noise ratio of two frames in dB, over all pixels and channels, peak = largest sample value. Infinity for
 * equal frames. Throws RangeError if size or bit depth differ.
 */
export function psnr(a: Frame, b: Frame): number {
  checkSameShape(a, b);
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) {
    const difference = a.data[i]! - b.data[i]!;
    sum += difference * difference;
  }
  const peak = 2 ** a.bitDepth - 1;
  return 10 * Math.log10(peak * peak * a.data.length / sum);
}

/** Throws RangeError unless both frames have the same size and bit depth. */
export function checkSameShape(a: Frame, b: Frame): void {
  if (a.width !== b.width || a.height !== b.height || a.bitDepth !== b.bitDepth) {
    throw new RangeError(`Cannot compare frames: ${describeShape(a)} against ${describeShape(b)}`);
  }
}

function describeShape(frame: Frame): string {
  return `${frame.width} x ${frame.height} with ${frame.bitDepth} bits`;
}
