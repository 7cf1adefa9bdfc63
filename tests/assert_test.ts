import assert from "node:assert/strict";
import { assertAllClose, assertGolden } from "./_assert.ts";

Deno.test("assertAllClose() takes the sum of both tolerances", () => {
  assertAllClose([1.5, -4.5], [1, -4], { atol: 0.25, rtol: 0.25 });
  assert.throws(() => assertAllClose([1.5, -4], [1, -4], { atol: 0.25, rtol: 0.125 }));
});

Deno.test("assertAllClose() compares exactly without tolerances", () => {
  assertAllClose([0, 1, Infinity], [-0, 1, Infinity]);
  assert.throws(() => assertAllClose([1 + Number.EPSILON], [1]));
});

Deno.test("assertAllClose() fails on NaN and on unequal infinities", () => {
  const wide = { atol: 1e30, rtol: 1 };
  assert.throws(() => assertAllClose([NaN], [0], wide));
  assert.throws(() => assertAllClose([0], [NaN], wide));
  assert.throws(() => assertAllClose([NaN], [NaN], wide));
  assert.throws(() => assertAllClose([3], [Infinity], wide));
  assert.throws(() => assertAllClose([-Infinity], [Infinity], wide));
  assert.throws(() => assertAllClose([1], [1.5], { atol: NaN }));
});

Deno.test("assertAllClose() fails on another length", () => {
  assert.throws(() => assertAllClose([1, 2], [1], { atol: 10 }), /2 values, expected 1/);
});

Deno.test("assertAllClose() reports the first bad value, the largest error and the count", () => {
  assert.throws(
    () => assertAllClose([0, 1, 2.5, 3, 8], [0, 1, 2, 3, 4], { atol: 0.25, label: "y" }),
    {
      message: "y: 2 of 5 differ by more than 0.25 + 0 * |expected|, max abs error 4\n" +
        "    [0] actual 0, expected 0\n    [1] actual 1, expected 1\n  > [2] actual 2.5, expected 2\n" +
        "    [3] actual 3, expected 3\n    [4] actual 8, expected 4",
    },
  );
});

Deno.test("assertGolden() measures against the largest value and returns the share used", () => {
  assert.equal(assertGolden([0, 100], [0, 100], 0, "y"), 0);
  // 8 * 2^-20 * 64 = 2^-11
  assert.equal(assertGolden([2 ** -12, 64], [0, 64], 2 ** -20, "y"), 0.5);
  assert.throws(() => assertGolden([2 ** -10, 64], [0, 64], 2 ** -20, "y"));
});

Deno.test("assertGolden() takes max_rel as at least 5e-7", () => {
  assertGolden([1 + 3.9e-6], [1], 0, "y");
  assert.throws(() => assertGolden([1 + 4.1e-6], [1], 0, "y"));
});

Deno.test("assertGolden() fails on NaN, on an empty golden and on one that is not finite", () => {
  assert.throws(() => assertGolden([NaN, 1], [0, 1], 1, "y"));
  assert.throws(() => assertGolden([0, 1], [0, 1], NaN, "y"), /Cannot compare "y"/);
  assert.throws(() => assertGolden([NaN], [NaN], 0, "y"), /Cannot compare "y"/);
  assert.throws(() => assertGolden([], [], 0, "y"), /Cannot compare "y"/);
});
