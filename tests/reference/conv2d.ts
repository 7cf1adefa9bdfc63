/** What `conv2d()` computes, in double precision and readable loops. All arrays are channels-last and unpadded. */
export interface Conv2dReference {
  readonly x: ArrayLike<number>;
  /** [N, H, W, C] of `x`. */
  readonly shape: readonly [number, number, number, number];
  /** [O, C, KH, KW]. */
  readonly weight: ArrayLike<number>;
  readonly weightShape: readonly [number, number, number, number];
  readonly bias?: ArrayLike<number>;
  readonly stride?: number;
  readonly pad?: { top: number; left: number; bottom: number; right: number };
  readonly resize?: readonly [number, number];
  /** Given the sum with bias and the index of the output value. */
  readonly finish?: (sum: number, at: { n: number; o: number; index: number }) => number;
}

/** Returns [N, OH, OW, O] values and that shape. */
export function conv2dReference(
  r: Conv2dReference,
): { y: Float64Array; shape: [number, number, number, number] } {
  const [n, h, w, c] = r.shape, [o, , kh, kw] = r.weightShape;
  const pad = r.pad ?? { top: 0, left: 0, bottom: 0, right: 0 }, stride = r.stride ?? 1;
  const [ih, iw] = r.resize ?? [h, w];
  const oh = Math.floor((ih + pad.top + pad.bottom - kh) / stride) + 1;
  const ow = Math.floor((iw + pad.left + pad.right - kw) / stride) + 1;
  const y = new Float64Array(n * oh * ow * o);
  let index = 0;
  for (let b = 0; b < n; b++) {
    for (let oy = 0; oy < oh; oy++) {
      for (let ox = 0; ox < ow; ox++) {
        for (let k = 0; k < o; k++, index++) {
          let sum = r.bias?.[k] ?? 0;
          for (let ky = 0; ky < kh; ky++) {
            for (let kx = 0; kx < kw; kx++) {
              const iy = oy * stride + ky - pad.top, ix = ox * stride + kx - pad.left;
              if (iy < 0 || iy >= ih || ix < 0 || ix >= iw) continue;
              const sy = Math.floor(iy * h / ih), sx = Math.floor(ix * w / iw);
              for (let j = 0; j < c; j++) {
                sum += r.x[((b * h + sy) * w + sx) * c + j]! * r.weight[((k * c + j) * kh + ky) * kw + kx]!;
              }
            }
          }
          y[index] = r.finish ? r.finish(sum, { n: b, o: k, index }) : sum;
        }
      }
    }
  }
  return { y, shape: [n, oh, ow, o] };
}
