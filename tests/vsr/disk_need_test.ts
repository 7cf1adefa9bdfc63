import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { encodePng } from "../../src/media/png.ts";
import { diskNeed } from "../../src/vsr/disk_need.ts";

const MODEL = { latentChannels: 4, flowStep: 4 } as const;

Deno.test("diskNeed() counts flows once, latents and estimate three times, and each frame by its depth", () => {
  const { state, frames } = diskNeed({ width: 10, height: 6, bitDepths: [8, 16, 8] }, MODEL);
  strictEqual(state, 2 * 2 * 2 * 4 * 60 + 3 * (3 + 1) * 4 * 4 * 60);
  const rows = [8, 16, 8].map((bits) => 24 * (1 + 40 * 3 * bits / 8));
  strictEqual(frames, rows.reduce((sum, bytes) => sum + bytes + 5 + 1024, 0));
});

Deno.test("diskNeed() counts 16 times as much for flows of every pixel of the ×4 frames", () => {
  const clip = { width: 10, height: 6, bitDepths: [8, 8] as const };
  const dense = diskNeed(clip, { ...MODEL, flowStep: 1 }).state - diskNeed(clip, MODEL).state;
  strictEqual(dense, (16 - 1) * 2 * 2 * 4 * 60);
});

Deno.test("diskNeed() has no flows without guidance, nor for one frame", () => {
  const size = { width: 10, height: 6 };
  const unguided = { ...MODEL, flowStep: null };
  strictEqual(diskNeed({ ...size, bitDepths: [8, 8] }, unguided).state, 3 * 3 * 16 * 60);
  deepStrictEqual(
    diskNeed({ ...size, bitDepths: [8] }, MODEL),
    diskNeed({ ...size, bitDepths: [8] }, unguided),
  );
});

for (const bitDepth of [8, 16] as const) {
  Deno.test(`diskNeed() covers a PNG of noise with ${bitDepth} bits, and by less than 2 %`, () => {
    const [width, height] = [400, 320], samples = new Uint8Array(3 * width * height * bitDepth / 8);
    for (let i = 0; i < samples.length; i += 2 ** 16) {
      crypto.getRandomValues(samples.subarray(i, i + 2 ** 16));
    }
    const data = bitDepth === 8 ? samples : new Uint16Array(samples.buffer);
    const { length } = encodePng({ width, height, bitDepth, data });
    const { frames } = diskNeed({ width: width / 4, height: height / 4, bitDepths: [bitDepth] }, MODEL);
    ok(length <= frames && frames < 1.02 * length, `${length} bytes, ${frames} computed`);
  });
}
