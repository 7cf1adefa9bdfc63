/** A tile along one axis, in pixels of the picture. */
export interface Span {
  readonly begin: number;
  readonly size: number;
  /** Where the next tile begins; null for the last one. */
  readonly next: number | null;
}

/** Weight of the tile at pixel `at` of the picture: up from its begin, down from the begin of the next. */
function tileWeight(at: number, { begin, size, next }: Span, fade: number): number {
  if (at < begin || at >= begin + size) return 0;
  const ramp = (from: number) => Math.min(1, Math.max(0, (at - from + 0.5) / fade));
  return (begin === 0 ? 1 : ramp(begin)) - (next === null ? 0 : ramp(next));
}

/** `y` [H, W, C] plus tile `x` [h, w, C] times its weights. */
export function blendTile(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  { rows, columns, fade, width, channels }: {
    readonly rows: Span;
    readonly columns: Span;
    readonly fade: number;
    readonly width: number;
    readonly channels: number;
  },
): Float64Array {
  const sum = Float64Array.from(y);
  for (let i = 0; i < rows.size; i++) {
    for (let j = 0; j < columns.size; j++) {
      const row = rows.begin + i, column = columns.begin + j;
      const weight = tileWeight(row, rows, fade) * tileWeight(column, columns, fade);
      for (let c = 0; c < channels; c++) {
        sum[(row * width + column) * channels + c]! += weight * x[(i * columns.size + j) * channels + c]!;
      }
    }
  }
  return sum;
}
