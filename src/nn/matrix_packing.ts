import { packConv2dPanels, packedConv2dShape } from "../kernels/conv2d.ts";
import { panelColumns } from "../kernels/panels.ts";
import type { Packing } from "./weight_upload.ts";

/**
 * How the weight of a convolution [O, C, KH, KW] or linear layer [O, C] is stored, as `packConv2dWeight()` makes it, or
 * a range of its input channels. Its panels come one by one.
 */
export function matrixPacking(
  shape: readonly number[],
  channels: readonly [number, number] = [0, shape[1]!],
): Packing & { readonly unit: number } {
  const [outChannels = 1, ...rest] = shape;
  const stored = rest.reduce((product, size) => product * size, 1);
  const packedShape = packedConv2dShape(shape, channels[1] - channels[0]);
  const packedSize = packedShape[0] * packedShape[1];
  return {
    shape: packedShape,
    matrix: true,
    unit: panelColumns(outChannels) * stored,
    pack({ values, begin, room, write }) {
      const count = values.length / stored;
      const packed = room(count * packedSize);
      packConv2dPanels(values, { shape: [count, ...rest], channels, packed });
      write(packed, begin / stored * packedSize);
    },
  };
}
