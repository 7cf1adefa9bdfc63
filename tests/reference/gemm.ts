/** Sizes of a batched product [B, M, K] · [B, K, N]. */
export interface GemmShape {
  readonly batch: number;
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
}

/** What `gemm()` computes, in double precision: [B, M, N]. */
export function gemmReference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { batch, rows, inner, columns }: GemmShape,
): Float64Array {
  const c = new Float64Array(batch * rows * columns);
  for (let i = 0; i < batch; i++) {
    for (let m = 0; m < rows; m++) {
      for (let n = 0; n < columns; n++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) {
          sum += a[(i * rows + m) * inner + k]! * b[(i * inner + k) * columns + n]!;
        }
        c[(i * rows + m) * columns + n] = sum;
      }
    }
  }
  return c;
}
