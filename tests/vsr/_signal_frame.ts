import type { Frame } from "../../src/media/frame.ts";
import { signal } from "../generated.ts";

/** A frame whose samples are a signal over all levels, named by its number. */
export function signalFrame(
  index: number,
  { width, height, bitDepth = 8 }: { width: number; height: number; bitDepth?: 8 | 16 },
): Frame {
  const data = new (bitDepth === 8 ? Uint8Array : Uint16Array)(3 * width * height);
  const levels = 2 ** bitDepth;
  signal(`frame.${index}`, [height, width, 3]).forEach((value, i) => {
    data[i] = Math.min(levels - 1, Math.floor((value / Math.sqrt(3) + 1) / 2 * levels));
  });
  return { width, height, bitDepth, data };
}
