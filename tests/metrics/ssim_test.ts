import { ok, throws } from "node:assert/strict";
import type { Frame } from "../../src/media/frame.ts";
import { ssim } from "../../src/metrics/ssim.ts";
import { loadCropPair } from "./crop_pair.ts";

Deno.test("ssim() equals PyTorch in double precision", () => {
  const { a, b, expected } = loadCropPair();
  const actual = ssim(a, b);
  ok(Math.abs(actual - expected.ssim) < 1e-12, `${actual} against ${expected.ssim}`);
});

Deno.test("ssim() of equal frames is 1", () => {
  const { a } = loadCropPair();
  ok(Math.abs(ssim(a, a) - 1) < 1e-12);
});

Deno.test("ssim() of two flat frames is the luminance term", () => {
  const [x, y] = [51 / 255, 204 / 255];
  const wanted = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4);
  const byte = ssim(flat(8, 51), flat(8, 204));
  const word = ssim(flat(16, 51 * 257), flat(16, 204 * 257));
  ok(Math.abs(byte - wanted) < 1e-10, `${byte} against ${wanted}`);
  ok(Math.abs(word - wanted) < 1e-10, `${word} against ${wanted}`);
});

Deno.test("ssim() does not look at the outermost corner of the border alone", () => {
  // A corner pixel counts in one window only, with the smallest weight.
  const { a } = loadCropPair();
  const data = a.data.slice();
  data[0] = 255 - data[0]!;
  const changed = ssim(a, { ...a, data });
  ok(changed < 1 && changed > 1 - 1e-5, `${changed}`);
});

Deno.test("ssim() refuses frames without a whole window and frames of different size", () => {
  const { a } = loadCropPair();
  const small: Frame = { width: 10, height: 40, bitDepth: 8, data: new Uint8Array(1200) };
  throws(() => ssim(small, small), {
    name: "RangeError",
    message: /size is 10 x 40, wanted at least 11 x 11/,
  });
  throws(() => ssim(a, small), { name: "RangeError", message: /23 x 18 with 8 bits against 10 x 40/ });
});

function flat(bitDepth: 8 | 16, value: number): Frame {
  const data = bitDepth === 8 ? new Uint8Array(11 * 12 * 3) : new Uint16Array(11 * 12 * 3);
  return { width: 11, height: 12, bitDepth, data: data.fill(value) };
}
