import { strictEqual } from "node:assert/strict";
import { type Frame, isBlank } from "../../src/media/frame.ts";

/** 2 × 2 pixels of one colour, one sample of which is `last` instead. */
function frame(
  colour: readonly number[],
  { last, bitDepth = 8 }: { last?: number; bitDepth?: 8 | 16 } = {},
): Frame {
  const data = (bitDepth === 8 ? Uint8Array : Uint16Array).from([...colour, ...colour, ...colour, ...colour]);
  if (last !== undefined) data[11] = last;
  return { width: 2, height: 2, bitDepth, data };
}

Deno.test("isBlank() is true for pixels of one colour, whatever it is", () => {
  strictEqual(isBlank(frame([0, 0, 0])), true);
  strictEqual(isBlank(frame([1, 200, 7])), true);
  strictEqual(isBlank(frame([65535, 65535, 65535], { bitDepth: 16 })), true);
});

Deno.test("isBlank() is false for a single sample that differs by one level", () => {
  strictEqual(isBlank(frame([1, 200, 7], { last: 8 })), false);
  strictEqual(isBlank(frame([1, 200, 7], { last: 6 })), false);
  strictEqual(isBlank(frame([1, 200, 65535], { last: 65534, bitDepth: 16 })), false);
});

Deno.test("isBlank() tolerates a part of the range, both ways, in each channel", () => {
  // A 32nd of 255 is 7.97, of 65535 2047.97.
  for (const [bitDepth, step] of [[8, 7], [16, 2047]] as const) {
    for (const sign of [-1, 1]) {
      const near = 60 + step + sign * step, far = 60 + step + sign * (step + 1);
      strictEqual(isBlank(frame([9, 99, 60 + step], { last: near, bitDepth }), 1 / 32), true);
      strictEqual(isBlank(frame([9, 99, 60 + step], { last: far, bitDepth }), 1 / 32), false);
    }
  }
});
