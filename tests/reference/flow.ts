// Readable double-precision loops for the kernels of optical flow.

/** Values [N, H, W, C], row-major. */
export interface Map4 {
  readonly shape: readonly [number, number, number, number];
  readonly data: ArrayLike<number>;
}

/** RAFT's look-up: see `correlation()`. `pyramid` is taken as given. */
export function correlationReference(
  f1: Map4,
  { pyramid, flow, radius }: { pyramid: readonly Map4[]; flow: Map4; radius: number },
): Float64Array {
  const [batch, height, width, channels] = f1.shape;
  const out: number[] = [];

  function dot(
    level: number,
    { n, pixel, x, y }: { n: number; pixel: number; x: number; y: number },
  ): number {
    const f2 = pyramid[level]!;
    const [, h2, w2] = f2.shape;
    if (x < 0 || y < 0 || x >= w2 || y >= h2) return 0;
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      sum += f1.data[pixel * channels + c]! * f2.data[((n * h2 + y) * w2 + x) * channels + c]!;
    }
    return sum / Math.sqrt(channels);
  }

  for (let n = 0; n < batch; n++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const pixel = (n * height + row) * width + column;
        for (let level = 0; level < pyramid.length; level++) {
          // The sum is rounded as float32 does: its error is not the look-up's.
          const px = Math.fround(column + flow.data[2 * pixel]!) / 2 ** level;
          const py = Math.fround(row + flow.data[2 * pixel + 1]!) / 2 ** level;
          const left = Math.floor(px), top = Math.floor(py);
          const fx = px - left, fy = py - top;
          for (let i = -radius; i <= radius; i++) {
            for (let j = -radius; j <= radius; j++) {
              const at = (dx: number, dy: number) =>
                dot(level, { n, pixel, x: left + i + dx, y: top + j + dy });
              out.push(
                (1 - fy) * ((1 - fx) * at(0, 0) + fx * at(1, 0)) + fy * ((1 - fx) * at(0, 1) + fx * at(1, 1)),
              );
            }
          }
        }
      }
    }
  }
  return Float64Array.from(out);
}

/** ×8 upsampling of flow: see `upsampleFlow()`. Result [N, ceil(height / step), ceil(width / step), 2]. */
export function upsampleFlowReference(
  flow: Map4,
  { mask, step, height, width }: { mask?: Map4; step: number; height: number; width: number },
): Float64Array {
  const [batch, h, w] = flow.shape;
  const out: number[] = [];

  function value(n: number, { x, y, c }: { x: number; y: number; c: number }): number {
    return x < 0 || y < 0 || x >= w || y >= h ? 0 : 8 * flow.data[((n * h + y) * w + x) * 2 + c]!;
  }

  function convex(n: number, { x, y, c }: { x: number; y: number; c: number }): number {
    const left = Math.floor(x / 8), top = Math.floor(y / 8);
    let sum = 0, total = 0;
    for (let k = 0; k < 9; k++) {
      const channel = k * 64 + (y % 8) * 8 + x % 8;
      const weight = Math.exp(mask!.data[((n * h + top) * w + left) * 576 + channel]!);
      total += weight;
      sum += weight * value(n, { x: left + k % 3 - 1, y: top + Math.floor(k / 3) - 1, c });
    }
    return sum / total;
  }

  function bilinear(n: number, { x, y, c }: { x: number; y: number; c: number }): number {
    const sx = x * (w - 1) / (8 * w - 1), sy = y * (h - 1) / (8 * h - 1);
    const left = Math.floor(sx), top = Math.floor(sy), fx = sx - left, fy = sy - top;
    const at = (dx: number, dy: number) => value(n, { x: left + dx, y: top + dy, c });
    return (1 - fy) * ((1 - fx) * at(0, 0) + fx * at(1, 0)) + fy * ((1 - fx) * at(0, 1) + fx * at(1, 1));
  }

  for (let n = 0; n < batch; n++) {
    for (let y = 0; y < height; y += step) {
      for (let x = 0; x < width; x += step) {
        for (let c = 0; c < 2; c++) out.push(mask ? convex(n, { x, y, c }) : bilinear(n, { x, y, c }));
      }
    }
  }
  return Float64Array.from(out);
}
