import type { Frame } from "../../src/media/frame.ts";
import pair from "./crop_pair.json" with { type: "json" };

/** Two frames of 23 x 18 pixels, and what PyTorch computes of them in double precision. */
export function loadCropPair(): { a: Frame; b: Frame; expected: { psnr: number; ssim: number } } {
  return { a: toFrame(pair.a), b: toFrame(pair.b), expected: { psnr: pair.psnr, ssim: pair.ssim } };
}

function toFrame(base64: string): Frame {
  return { width: pair.width, height: pair.height, bitDepth: 8, data: Uint8Array.fromBase64(base64) };
}
