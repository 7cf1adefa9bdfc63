import assert from "node:assert/strict";
import { packPanels, panelColumns } from "../../src/kernels/panels.ts";

Deno.test("panelColumns() keeps narrow matrices and those of no whole vec4s in one panel", () => {
  assert.deepEqual([3, 32, 33, 36, 64, 66].map(panelColumns), [3, 32, 33, 32, 32, 66]);
});

Deno.test("packPanels() puts each panel's rows one after another, the last panel narrower", () => {
  const [rows, columns] = [2, 36];
  const data = Float32Array.from({ length: 2 * rows * columns }, (_, i) => i);
  const packed = packPanels(data, { rows, columns });
  for (let matrix = 0; matrix < 2; matrix++) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const at = matrix * rows * columns +
          (column < 32 ? row * 32 + column : rows * 32 + row * 4 + column - 32);
        assert.equal(packed[at], (matrix * rows + row) * columns + column);
      }
    }
  }
});
