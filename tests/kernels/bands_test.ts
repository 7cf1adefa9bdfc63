import assert from "node:assert/strict";
import { LimitError } from "../../src/gpu/errors.ts";
import { type BandOptions, flatChunks, rowBands, spread } from "../../src/kernels/bands.ts";

/** Images of `height` rows of 1,000 bytes. */
function options(batch: number, height: number, maxBindingBytes: number): BandOptions {
  const tensors = [{ total: batch * height * 1000, band: (rows: number) => rows * 1000 }];
  return { batch, height, maxBindingBytes, tensors, label: "layer" };
}

Deno.test("rowBands() makes one band where everything can be bound", () => {
  assert.deepEqual(rowBands(options(3, 10, 30_000)), [{ batchBegin: 0, batch: 3, rowBegin: 0, rows: 10 }]);
});

Deno.test("rowBands() covers every row of every image once, within the limit", () => {
  for (
    const [batch, height, limit] of [[3, 10, 29_999], [2, 7, 3300], [1, 61, 1256], [1, 64, 9000]] as const
  ) {
    const seen = new Array(batch * height).fill(0);
    for (const band of rowBands(options(batch, height, limit))) {
      assert.equal(band.batch, 1);
      // A binding may begin up to 255 bytes before the band.
      assert.ok(band.rows * 1000 + 255 <= limit, `${band.rows} rows for ${limit} bytes`);
      for (let row = 0; row < band.rows; row++) seen[band.batchBegin * height + band.rowBegin + row]++;
    }
    assert.deepEqual(seen, new Array(batch * height).fill(1));
  }
});

Deno.test("rowBands() obeys the tensor that needs the most, halos included", () => {
  const bands = rowBands({
    ...options(1, 20, 10_256),
    tensors: [
      { total: 20_000, band: (rows) => rows * 1000 },
      { total: 20_000, band: (rows) => (rows + 4) * 1000 },
    ],
  });
  assert.deepEqual(bands.map((b) => b.rows), [5, 5, 5, 5]);
});

Deno.test("rowBands() refuses a row that cannot be bound", () => {
  assert.throws(
    () => rowBands(options(1, 20, 1255)),
    new LimitError('Cannot run "layer": a single row exceeds the 1255 bytes this GPU binds'),
  );
});

Deno.test("flatChunks() cuts at multiples of 16 vec4s, whatever the limit", () => {
  assert.deepEqual(flatChunks(40, 640), [{ from: 0, to: 32 }, { from: 32, to: 40 }]);
  assert.deepEqual(flatChunks(40, 639), [{ from: 0, to: 32 }, { from: 32, to: 40 }]);
  assert.deepEqual(flatChunks(33, 511), [{ from: 0, to: 16 }, { from: 16, to: 32 }, { from: 32, to: 33 }]);
  assert.deepEqual(flatChunks(40, 2 ** 27), [{ from: 0, to: 40 }]);
  assert.deepEqual(flatChunks(1, 256), [{ from: 0, to: 1 }]);
});

Deno.test("spread() gives at least as many workgroups, at most 65,535 each way", () => {
  assert.deepEqual(spread(1), [1, 1, 1]);
  assert.deepEqual(spread(65535), [65535, 1, 1]);
  assert.deepEqual(spread(65536), [32768, 2, 1]);
  for (const count of [65537, 131071, 1_000_003, 65535 ** 2]) {
    const [x, y, z] = spread(count);
    assert.ok(x <= 65535 && y <= 65535 && z === 1);
    assert.ok(x * y >= count && x * y - count < y, `${x} · ${y} for ${count}`);
  }
});
