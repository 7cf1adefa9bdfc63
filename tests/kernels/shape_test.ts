import assert from "node:assert/strict";
import { Tensor } from "../../src/gpu/tensor.ts";
import { assertShape, imageShape } from "../../src/kernels/shape.ts";

const WHERE = { kernel: "conv2d", label: "unet.conv_in" };

Deno.test("imageShape() gives the four sizes of an image", () => {
  assert.deepEqual(imageShape(new Tensor([2, 3, 5, 7], "x"), WHERE), [2, 3, 5, 7]);
});

Deno.test("imageShape() names kernel, layer and shape of what is no image", () => {
  for (const shape of [[4], [1, 15, 4], [1, 1, 3, 5, 4]]) {
    assert.throws(
      () => imageShape(new Tensor(shape, "x"), WHERE),
      new RangeError(`Cannot run conv2d "unet.conv_in": "x" is [${shape}], wanted [N, H, W, C]`),
    );
  }
});

Deno.test("assertShape() passes the very shape and refuses others with both", () => {
  const x = new Tensor([1, 12, 4], "x");
  assertShape(x, [1, 12, 4], WHERE);
  for (const shape of [[1, 12, 8], [1, 3, 4, 4], [12, 4]]) {
    assert.throws(
      () => assertShape(x, shape, WHERE),
      new RangeError(`Cannot run conv2d "unet.conv_in": "x" is [1,12,4], wanted [${shape}]`),
    );
  }
});
