import assert from "node:assert/strict";
import { timestepEmbedding } from "../../src/nn/timestep_embedding.ts";
import { assertAllClose } from "../_assert.ts";
import { loadCase, tensorOf } from "../golden_file.ts";

const COS_FIRST = { flipSinToCos: true, freqShift: 0 };
const SIN_FIRST = { flipSinToCos: false, freqShift: 1 };

Deno.test("timestepEmbedding() equals golden timestep_embedding", () => {
  const golden = loadCase("timestep_embedding");
  const timesteps = tensorOf(golden, "timesteps").data;
  assert.equal(timesteps.length, 8);
  for (const dim of [32, 256]) {
    for (const [name, options] of [["cos_first", COS_FIRST], ["sin_first", SIN_FIRST]] as const) {
      const expected = tensorOf(golden, `dim${dim}.${name}`).data;
      for (const [row, t] of timesteps.entries()) {
        const atol = angleUlp(t) + 2 ** -23;
        const label = `dim${dim}.${name} at ${t}`;
        const wanted = expected.subarray(row * dim, (row + 1) * dim);
        assertAllClose(timestepEmbedding(t, dim, options), wanted, { atol, label });
      }
    }
  }
});

Deno.test("timestepEmbedding() puts the half that is asked for first", () => {
  assert.deepEqual(timestepEmbedding(0, 4, COS_FIRST), Float32Array.of(1, 1, 0, 0));
  assert.deepEqual(timestepEmbedding(0, 4, SIN_FIRST), Float32Array.of(0, 0, 1, 1));
});

Deno.test("timestepEmbedding() ends at frequency 1/10000 with freqShift 1", () => {
  const embedding = timestepEmbedding(500, 64, SIN_FIRST);
  assertAllClose([embedding[0]!, embedding[31]!], [Math.sin(500), Math.sin(0.05)], { rtol: 1e-6 });
});

Deno.test("timestepEmbedding() refuses a dim that has no halves or no frequencies", () => {
  for (const dim of [0, -2, 7, 2.5, NaN]) {
    assert.throws(() => timestepEmbedding(1, dim, COS_FIRST), RangeError);
  }
  assert.throws(
    () => timestepEmbedding(1, 2, SIN_FIRST),
    /dim is 2 and freqShift 1, wanted an even dim above 2/,
  );
});

/**
 * Spacing of float32 numbers at `t`, the largest angle: 6.1e-5 at 999.
 *
 * The last bit of a frequency is up to the implementation of `exp`. A frequency below 1 changes by 2^-24 at most,
 * which moves the rounded angle, and with it sine and cosine, by one such spacing.
 */
function angleUlp(t: number): number {
  return t === 0 ? 0 : 2 ** (Math.floor(Math.log2(t)) - 23);
}
