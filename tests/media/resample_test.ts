import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { resizeBicubic, resizeBicubicU8, upscaleBicubic } from "../../src/media/resample.ts";
import { assertAllClose, assertGolden } from "../_assert.ts";
import { loadCase, maxRelOf, tensorOf } from "../golden_file.ts";

const GOLDEN = loadCase("bicubic_pil");
const SIZES = [[11, 15], [13, 17], [22, 60], [88, 90]] as const;
const INPUT = { channels: 3, height: 44, width: 60 };

for (const [outHeight, outWidth] of SIZES) {
  const size = `${outHeight}x${outWidth}`;

  Deno.test(`resizeBicubic() equals Pillow's filter at ${size}`, () => {
    const x = tensorOf(GOLDEN, "x").data as Float32Array;
    const y = resizeBicubic(x, { ...INPUT, outHeight, outWidth });
    const name = `float.${size}`;
    assertGolden(y, tensorOf(GOLDEN, name).data, maxRelOf(GOLDEN, name), name);
  });

  Deno.test(`resizeBicubicU8() equals Pillow bit for bit at ${size}`, () => {
    const x = tensorOf(GOLDEN, "u8.x").data as Uint8Array;
    const y = resizeBicubicU8(x, { ...INPUT, outHeight, outWidth });
    assertAllClose(y, tensorOf(GOLDEN, `u8.${size}`).data, { label: size });
  });
}

Deno.test("upscaleBicubic() equals resizeBicubicU8() of each channel", () => {
  const planes = tensorOf(GOLDEN, "u8.x").data as Uint8Array;
  const y = upscaleBicubic({ width: 60, height: 44, bitDepth: 8, data: interleave(planes) }, 4);
  const wanted = resizeBicubicU8(planes, { ...INPUT, outHeight: 176, outWidth: 240 });
  deepStrictEqual([y.width, y.height, y.bitDepth], [240, 176, 8]);
  assertAllClose(y.data, interleave(wanted));
});

Deno.test("upscaleBicubic() clamps overshoot and keeps a single pixel", () => {
  const edge = Uint8Array.of(0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255);
  const y = upscaleBicubic({ width: 4, height: 1, bitDepth: 8, data: edge }, 4);
  // The kernel overshoots by some percent on both sides of a step; unclamped, 8 bits would wrap around.
  strictEqual(y.data[5 * 3], 0);
  strictEqual(y.data[10 * 3], 255);
  const pixel = upscaleBicubic({ width: 1, height: 1, bitDepth: 8, data: Uint8Array.of(1, 2, 3) }, 2);
  deepStrictEqual([...pixel.data], [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
});

Deno.test("upscaleBicubic() refuses 16 bits and factors that are no whole number", () => {
  const frame = { width: 1, height: 1, bitDepth: 8, data: new Uint8Array(3) } as const;
  throws(() => upscaleBicubic(frame, 0), { name: "RangeError", message: /factor is 0/ });
  throws(() => upscaleBicubic(frame, 1.5), { name: "RangeError", message: /factor is 1.5/ });
  const deep = { ...frame, bitDepth: 16, data: new Uint16Array(3) } as const;
  throws(() => upscaleBicubic(deep, 2), { name: "RangeError", message: /bit depth is 16, wanted 8/ });
});

Deno.test("resizeBicubic() refuses data of another size", () => {
  const sizes = { channels: 1, height: 2, width: 2, outHeight: 4, outWidth: 4 };
  throws(() => resizeBicubic(new Float32Array(5), sizes), {
    message: /data has 5 samples, \[1, 2, 2\] wants 4/,
  });
  throws(() => resizeBicubicU8(new Uint8Array(4), { ...sizes, outWidth: 0 }), { name: "RangeError" });
});

function interleave(planes: Uint8Array): Uint8Array {
  const pixels = planes.length / 3;
  return Uint8Array.from(planes, (_, i) => planes[i % 3 * pixels + Math.floor(i / 3)]!);
}
