/** Sizes of a multi-head attention. */
export interface AttentionShape {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headChannels: number;
  /** Images that `k` and `v` hold: 1, or as many as `batch`. */
  readonly kvBatch: number;
  readonly causal?: boolean;
  readonly scale?: number;
}

/** softmax(scale · q kᵀ) v per head of `q` [N, L, H·D], `k` and `v` [N or 1, S, H·D]. */
export function attention(
  [q, k, v]: readonly [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>],
  shape: AttentionShape,
): Float64Array {
  const { batch, queries, keys, heads, headChannels, kvBatch, causal = false } = shape;
  const scale = shape.scale ?? 1 / Math.sqrt(headChannels);
  const channels = heads * headChannels;
  const y = new Float64Array(batch * queries * channels);
  for (let n = 0; n < batch; n++) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < queries; i++) {
        const to = (n * queries + i) * channels + head * headChannels;
        const from = (kvBatch > 1 ? n : 0) * keys * channels + head * headChannels;
        const scores: number[] = [];
        for (let j = 0; j < keys && !(causal && j > i); j++) {
          let score = 0;
          for (let c = 0; c < headChannels; c++) score += q[to + c]! * k[from + j * channels + c]!;
          scores.push(scale * score);
        }
        const top = scores.reduce((a, b) => Math.max(a, b));
        const weights = scores.map((score) => Math.exp(score - top));
        const total = weights.reduce((a, b) => a + b);
        weights.forEach((weight, j) => {
          for (let c = 0; c < headChannels; c++) y[to + c]! += weight / total * v[from + j * channels + c]!;
        });
      }
    }
  }
  return y;
}
