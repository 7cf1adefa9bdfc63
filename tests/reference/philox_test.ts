import assert from "node:assert/strict";
import { gaussianNoise, philox4x32 } from "./philox.ts";

type Words4 = [number, number, number, number];

/** Known answers published with Random123, the reference implementation. */
const KNOWN_ANSWERS: { counter: Words4; key: [number, number]; words: Words4 }[] = [
  { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
  {
    counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    key: [0xffffffff, 0xffffffff],
    words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  },
  {
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    key: [0xa4093822, 0x299f31d0],
    words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  },
];

const COUNT = 1_000_000;
/** Four standard errors of a statistic over COUNT samples whose single-sample deviation is 1. */
const BOUND = 4 / Math.sqrt(COUNT);

Deno.test("philox4x32() gives the published known answers", () => {
  for (const { counter, key, words } of KNOWN_ANSWERS) assert.deepEqual(philox4x32(counter, key), words);
});

Deno.test("gaussianNoise() has the moments of a unit normal", () => {
  const noise = gaussianNoise({ seed: 1, frame: 0, stream: 0, count: COUNT });
  const moment = (power: number) => noise.reduce((sum, value) => sum + value ** power, 0) / COUNT;
  // Variances of the moments of a unit normal: Var z = 1, Var z² = 2, Var z³ = 15, Var z⁴ = 96.
  assertWithin(moment(1), 0, BOUND);
  assertWithin(moment(2), 1, BOUND * Math.sqrt(2));
  assertWithin(moment(3), 0, BOUND * Math.sqrt(15));
  assertWithin(moment(4), 3, BOUND * Math.sqrt(96));
});

Deno.test("gaussianNoise() has the tails of a unit normal", () => {
  const noise = gaussianNoise({ seed: 2, frame: 0, stream: 0, count: COUNT });
  for (const [limit, share] of [[1, 0.317311], [2, 0.0455003], [3, 0.0026998], [4, 6.3342e-5]] as const) {
    const beyond = noise.filter((value) => Math.abs(value) > limit).length;
    assertWithin(beyond / COUNT, share, BOUND * Math.sqrt(share));
  }
  assert.ok(noise.every((value) => Math.abs(value) < 5.9));
});

Deno.test("gaussianNoise() is uncorrelated between frames, streams, seeds and neighbours", () => {
  const base = { seed: 3, frame: 7, stream: 2, count: COUNT };
  const noise = gaussianNoise(base);
  assertWithin(correlation(noise, gaussianNoise({ ...base, frame: 8 })), 0, BOUND);
  assertWithin(correlation(noise, gaussianNoise({ ...base, stream: 3 })), 0, BOUND);
  assertWithin(correlation(noise, gaussianNoise({ ...base, frame: 2, stream: 7 })), 0, BOUND);
  assertWithin(correlation(noise, gaussianNoise({ ...base, seed: 4 })), 0, BOUND);
  assertWithin(correlation(noise, gaussianNoise({ ...base, seed: 3 + 2 ** 32 })), 0, BOUND);
  for (const lag of [1, 2, 3, 4]) assertWithin(correlation(noise, noise.subarray(lag)), 0, BOUND);
});

Deno.test("gaussianNoise() gives fewer values as the beginning of more", () => {
  const request = { seed: 2 ** 53 - 1, frame: 2 ** 32 - 1, stream: 2 ** 32 - 1 };
  const long = gaussianNoise({ ...request, count: 1000 });
  for (const count of [0, 1, 2, 3, 4, 5, 998, 1000]) {
    assert.deepEqual(gaussianNoise({ ...request, count }), long.slice(0, count));
  }
});

Deno.test("gaussianNoise() turns known words into known normals", () => {
  // Counter 0, key 0: the first known answer. Computed with 50 digits, rounded to float32.
  const noise = gaussianNoise({ seed: 0, frame: 0, stream: 0, count: 4 });
  assert.deepEqual(
    noise,
    Float32Array.of(0.991137515433137, -0.9246628179396438, -0.6176090957422785, -0.4820683790872813),
  );
});

Deno.test("gaussianNoise() refuses what it cannot count", () => {
  const good = { seed: 0, frame: 0, stream: 0, count: 4 };
  for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    for (const name of ["seed", "frame", "stream", "count"]) {
      assert.throws(() => gaussianNoise({ ...good, [name]: value }), RangeError);
    }
  }
});

function correlation(a: Float32Array, b: Float32Array): number {
  const length = Math.min(a.length, b.length);
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[i]! * b[i]!;
  return sum / length;
}

function assertWithin(actual: number, expected: number, bound: number): void {
  assert.ok(Math.abs(actual - expected) <= bound, `${actual}, expected ${expected} ± ${bound}`);
}
