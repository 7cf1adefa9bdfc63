import type { Tensor } from "../gpu/tensor.ts";

/** [N, H, W, C] of an image tensor. Throws `RangeError`, which names kernel and layer, for any other rank. */
export function imageShape(
  x: Tensor,
  { kernel, label }: { kernel: string; label: string },
): [number, number, number, number] {
  const [batch, height, width, channels] = x.shape;
  if (x.shape.length !== 4) {
    throw new RangeError(
      `Cannot run ${kernel} "${label}": "${x.label}" is [${x.shape}], wanted [N, H, W, C]`,
    );
  }
  return [batch!, height!, width!, channels!];
}

/** Throws `RangeError`, which names kernel and layer, unless the tensor has exactly this shape. */
export function assertShape(
  x: Tensor,
  shape: readonly number[],
  { kernel, label }: { kernel: string; label: string },
): void {
  if (String(x.shape) !== String(shape)) {
    throw new RangeError(`Cannot run ${kernel} "${label}": "${x.label}" is [${x.shape}], wanted [${shape}]`);
  }
}
