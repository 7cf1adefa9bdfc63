/** Sizes of an image or a feature map. */
export interface ImageShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * Warps `x` [N, H, W, C] by `flow` [N, H, W, 2]: position p is sampled at p · size / (size - 1) - 0.5, zero outside.
 */
export function flowWarp(
  x: ArrayLike<number>,
  flow: ArrayLike<number>,
  { batch, height, width, channels, nearest = false }: ImageShape & { readonly nearest?: boolean },
): Float64Array {
  const y = new Float64Array(batch * height * width * channels);

  function pixel(n: number, v: number, u: number, c: number): number {
    if (u < 0 || u >= width || v < 0 || v >= height) return 0;
    return x[((n * height + v) * width + u) * channels + c]!;
  }

  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const at = (n * height + i) * width + j;
        const sx = (j + flow[2 * at]!) * width / Math.max(width - 1, 1) - 0.5;
        const sy = (i + flow[2 * at + 1]!) * height / Math.max(height - 1, 1) - 0.5;
        const u = Math.floor(sx), v = Math.floor(sy), a = sx - u, b = sy - v;
        for (let c = 0; c < channels; c++) {
          y[at * channels + c] = nearest
            ? pixel(n, v + (b > 0.5 ? 1 : 0), u + (a > 0.5 ? 1 : 0), c)
            : (1 - b) * ((1 - a) * pixel(n, v, u, c) + a * pixel(n, v, u + 1, c)) +
              b * ((1 - a) * pixel(n, v + 1, u, c) + a * pixel(n, v + 1, u + 1, c));
        }
      }
    }
  }
  return y;
}

/**
 * OGWM in its three literal stages: nearest × `factor` of `x0` [N, h, w, C], warp by the full `flow`
 * [N, factor·h, factor·w, 2], nearest ÷ `factor`.
 */
export function ogwm(
  x0: ArrayLike<number>,
  flow: ArrayLike<number>,
  options: ImageShape & { readonly factor: number; readonly nearest?: boolean },
): Float64Array {
  const { batch, height, width, channels, factor, nearest = false } = options;
  const large = { batch, height: factor * height, width: factor * width, channels, nearest };
  const up = new Float64Array(batch * large.height * large.width * channels);
  for (let at = 0; at < up.length; at++) {
    const c = at % channels, u = Math.floor(at / channels) % large.width;
    const v = Math.floor(at / channels / large.width) % large.height;
    const n = Math.floor(at / channels / large.width / large.height);
    up[at] = x0[((n * height + Math.floor(v / factor)) * width + Math.floor(u / factor)) * channels + c]!;
  }
  return everyNth(flowWarp(up, flow, large), options);
}

/** Picks the pixels (factor · i, factor · j) of values [N, factor·h, factor·w, C]; sizes are the result's. */
export function everyNth(
  x: ArrayLike<number>,
  { batch, height, width, channels, factor }: ImageShape & { readonly factor: number },
): Float64Array {
  const y = new Float64Array(batch * height * width * channels);
  for (let n = 0, at = 0; n < batch; n++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const from = ((n * height + i) * factor * width + j) * factor * channels;
        for (let c = 0; c < channels; c++) y[at++] = x[from + c]!;
      }
    }
  }
  return y;
}
