import { ok, strictEqual, throws } from "node:assert/strict";
import type { Frame } from "../../src/media/frame.ts";
import { psnr } from "../../src/metrics/psnr.ts";
import { loadCropPair } from "./crop_pair.ts";

Deno.test("psnr() equals PyTorch in double precision", () => {
  const { a, b, expected } = loadCropPair();
  const actual = psnr(a, b);
  ok(Math.abs(actual - expected.psnr) < 1e-12, `${actual} against ${expected.psnr}`);
});

Deno.test("psnr() takes the largest sample of either depth as peak", () => {
  // An error of 1 / 5 of the peak in every sample is 20 log10(5) dB.
  const wanted = 20 * Math.log10(5);
  const byte = psnr(filled(8, 0), filled(8, 51));
  const word = psnr(filled(16, 0), filled(16, 13107));
  ok(Math.abs(byte - wanted) < 1e-12, `${byte} against ${wanted}`);
  ok(Math.abs(word - wanted) < 1e-12, `${word} against ${wanted}`);
});

Deno.test("psnr() of equal frames is infinite", () => {
  strictEqual(psnr(filled(8, 7), filled(8, 7)), Infinity);
});

Deno.test("psnr() refuses frames of different size or depth", () => {
  const turned = { ...filled(8, 0), width: 3, height: 2 };
  throws(() => psnr(filled(8, 0), turned), { message: /2 x 3 with 8 bits against 3 x 2 with 8 bits/ });
  throws(() => psnr(filled(8, 0), filled(16, 0)), {
    name: "RangeError",
    message: /8 bits against .* 16 bits/,
  });
});

function filled(bitDepth: 8 | 16, value: number): Frame {
  const data = bitDepth === 8 ? new Uint8Array(18) : new Uint16Array(18);
  return { width: 2, height: 3, bitDepth, data: data.fill(value) };
}
