// Scaled dot-product attention (see lib/attention_io.wgsl) without a score matrix, with a running maximum and sum over
// blocks of keys (Milakov & Gimelshein 2018; Dao et al. 2022).
//
// A workgroup computes QUERIES queries (x) of one head (y) of one image (z), with ROW_LANES threads per query. In each
// block of 4 · KEYS4 keys
//   - a thread computes the scores of SCORE_QUERIES queries with 4 neighbouring keys, both staged in workgroup memory,
//   - ROW_LANES threads share the softmax of a query,
//   - a thread adds weights · v for LANE_QUERIES queries and LANE_CHANNELS4 vec4 of channels.
// QUERIES and the threads' shares of the channels do not change the order of any sum.
// QUERIES · ROW_LANES must be a multiple of 16, DEPTH4 and CHANNEL_LANES; ROW_LANES a divisor of 16 and CHANNEL_LANES;
// CHANNEL_LANES · LANE_CHANNELS4 at least HEAD_CHANNELS4.

const QUERIES: u32 = 32u;
const ROW_LANES: u32 = 2u;
const HEAD_CHANNELS4: u32 = 16u;
const CHANNEL_LANES: u32 = 16u;
const LANE_CHANNELS4: u32 = 1u;
// vec4s of channels staged in a step.
const DEPTH4: u32 = 4u;
const LANES: u32 = QUERIES * ROW_LANES;
const KEYS4: u32 = 16u;
// Scores: threads (m, n), queries m + i · SCORE_GROUPS, keys 4 · n and following.
const SCORE_GROUPS: u32 = LANES / KEYS4;
const SCORE_QUERIES: u32 = QUERIES / SCORE_GROUPS;
// Product with v: threads (g, c), queries g + i · LANE_GROUPS, vec4s c + t · CHANNEL_LANES.
const LANE_GROUPS: u32 = LANES / CHANNEL_LANES;
const LANE_QUERIES: u32 = QUERIES / LANE_GROUPS;
const Q_SIZE: u32 = QUERIES * DEPTH4;
const K_SIZE: u32 = 4u * KEYS4 * DEPTH4;
const Q_LOADS: u32 = (Q_SIZE + LANES - 1u) / LANES;
const K_LOADS: u32 = (K_SIZE + LANES - 1u) / LANES;
// Whether all threads take part in the last load.
const Q_EVEN: bool = Q_SIZE % LANES == 0u;
const K_EVEN: bool = K_SIZE % LANES == 0u;
// Score of a key that a query does not see: exp() of it is 0, and no overflow is near.
const UNSEEN: f32 = -1e38;

// The reasons for the nesting and the padding are those of gemm.wgsl.
struct Queries {
  at: array<array<vec4<f32>, SCORE_GROUPS>, SCORE_QUERIES>,
  padding: vec4<f32>,
}
struct Keys {
  at: array<array<vec4<f32>, KEYS4>, 4>,
  padding: vec4<f32>,
}
// Scores, then weights of one query, vec4s of neighbouring keys.
struct Row {
  at: array<vec4<f32>, KEYS4>,
  padding: vec4<f32>,
}
var<workgroup> q_tile: array<Queries, DEPTH4>;
var<workgroup> k_tile: array<Keys, DEPTH4>;
var<workgroup> rows: array<array<Row, LANE_GROUPS>, LANE_QUERIES>;
// A value per thread for exchange within the threads of a query.
var<workgroup> exchange: array<f32, LANES>;
// Per query: factor for what was summed before, in the end 1 / sum of the weights.
var<workgroup> factor: array<array<f32, LANE_GROUPS>, LANE_QUERIES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let image = params.batch_begin + group.z;
  let head = group.y * HEAD_CHANNELS4;
  let first = params.row_begin + group.x * QUERIES;
  let last = min(first + QUERIES, params.row_begin + params.rows) - 1u;
  let kv = image * params.kv_stride4 + head;

  let m = local / KEYS4;
  let n = local % KEYS4;
  // The query whose softmax this thread shares, its columns, its maximum and this thread's part of its sum.
  let row = local / ROW_LANES;
  let column = local % ROW_LANES;
  var row_max = UNSEEN;
  var row_sum = 0.0;
  let g = local / CHANNEL_LANES;
  let c = local % CHANNEL_LANES;
  var sum: array<vec4<f32>, LANE_QUERIES * LANE_CHANNELS4>;
  // What this thread stages: one vec4 of channels of some queries and keys.
  let d = local % DEPTH4;

  let end = select(params.keys, min(params.keys, last + 1u), params.causal != 0u);
  for (var begin = 0u; begin < end; begin += 4u * KEYS4) {
    var score = array<vec4<f32>, SCORE_QUERIES>();
    for (var d0 = 0u; d0 < HEAD_CHANNELS4; d0 += DEPTH4) {
      let channel = min(d0 + d, HEAD_CHANNELS4 - 1u);
      workgroupBarrier();
      for (var l = 0u; l < Q_LOADS; l++) { // @unroll
        let e = (l * LANES + local) / DEPTH4;
        if (Q_EVEN || e < QUERIES) {
          let at = (image * params.queries + min(first + e, last)) * params.channels4 + head + channel;
          let value = q[at - params.q_base];
          q_tile[d].at[e / SCORE_GROUPS][e % SCORE_GROUPS] = select(vec4<f32>(), value, d0 + d < HEAD_CHANNELS4);
        }
      }
      for (var l = 0u; l < K_LOADS; l++) { // @unroll
        let e = (l * LANES + local) / DEPTH4;
        if (K_EVEN || e < 4u * KEYS4) {
          k_tile[d].at[e % 4u][e / 4u] = k[kv + min(begin + e, params.keys - 1u) * params.channels4 + channel];
        }
      }
      workgroupBarrier();
      for (var s = 0u; s < DEPTH4; s++) { // @unroll
        let k0 = k_tile[s].at[0][n];
        let k1 = k_tile[s].at[1][n];
        let k2 = k_tile[s].at[2][n];
        let k3 = k_tile[s].at[3][n];
        let x4 = vec4(k0.x, k1.x, k2.x, k3.x);
        let y4 = vec4(k0.y, k1.y, k2.y, k3.y);
        let z4 = vec4(k0.z, k1.z, k2.z, k3.z);
        let w4 = vec4(k0.w, k1.w, k2.w, k3.w);
        for (var i = 0u; i < SCORE_QUERIES; i++) { // @unroll
          let u = q_tile[s].at[i][m];
          score[i] += u.x * x4;
          score[i] += u.y * y4;
          score[i] += u.z * z4;
          score[i] += u.w * w4;
        }
      }
    }
    let key4 = vec4<u32>(0u, 1u, 2u, 3u) + (begin + 4u * n);
    for (var i = 0u; i < SCORE_QUERIES; i++) { // @unroll
      let e = m + i * SCORE_GROUPS;
      let seen = key4 < vec4<u32>(select(params.keys, min(params.keys, first + e + 1u), params.causal != 0u));
      rows[e / LANE_GROUPS][e % LANE_GROUPS].at[n] = select(vec4<f32>(UNSEEN), params.scale * score[i], seen);
    }
    workgroupBarrier();

    // Scores to weights exp(score - maximum), with the new maximum of all threads of the query.
    var top = vec4<f32>(UNSEEN);
    for (var j = column; j < KEYS4; j += ROW_LANES) {
      top = max(top, rows[row / LANE_GROUPS][row % LANE_GROUPS].at[j]);
    }
    exchange[local] = max(max(top.x, top.y), max(top.z, top.w));
    workgroupBarrier();
    let old_max = row_max;
    for (var j = 0u; j < ROW_LANES; j++) {
      row_max = max(row_max, exchange[row * ROW_LANES + j]);
    }
    let shrink = exp(old_max - row_max);
    var added = vec4<f32>();
    for (var j = column; j < KEYS4; j += ROW_LANES) {
      let weight = exp(rows[row / LANE_GROUPS][row % LANE_GROUPS].at[j] - row_max);
      rows[row / LANE_GROUPS][row % LANE_GROUPS].at[j] = weight;
      added += weight;
    }
    row_sum = row_sum * shrink + added.x + added.y + added.z + added.w;
    if (column == 0u) {
      factor[row / LANE_GROUPS][row % LANE_GROUPS] = shrink;
    }
    workgroupBarrier();

    // sum = sum · factor + weights · v.
    for (var i = 0u; i < LANE_QUERIES; i++) { // @unroll
      let f = factor[i][g];
      for (var t = 0u; t < LANE_CHANNELS4; t++) { // @unroll
        sum[i * LANE_CHANNELS4 + t] *= f;
      }
    }
    let groups = (min(end - begin, 4u * KEYS4) + 3u) / 4u;
    for (var j = 0u; j < groups; j++) {
      var weight: array<vec4<f32>, LANE_QUERIES>;
      for (var i = 0u; i < LANE_QUERIES; i++) { // @unroll
        weight[i] = rows[i][g].at[j];
      }
      for (var r = 0u; r < 4u; r++) { // @unroll
        let at = kv + min(begin + 4u * j + r, params.keys - 1u) * params.channels4;
        for (var t = 0u; t < LANE_CHANNELS4; t++) { // @unroll
          let value = v[at + min(c + t * CHANNEL_LANES, HEAD_CHANNELS4 - 1u)];
          for (var i = 0u; i < LANE_QUERIES; i++) { // @unroll
            sum[i * LANE_CHANNELS4 + t] += weight[i][r] * value;
          }
        }
      }
    }
  }

  exchange[local] = row_sum;
  workgroupBarrier();
  if (column == 0u) {
    var total = 0.0;
    for (var j = 0u; j < ROW_LANES; j++) {
      total += exchange[local + j];
    }
    factor[row / LANE_GROUPS][row % LANE_GROUPS] = 1.0 / total;
  }
  workgroupBarrier();
  for (var i = 0u; i < LANE_QUERIES; i++) { // @unroll
    let query = first + g + i * LANE_GROUPS;
    for (var t = 0u; t < LANE_CHANNELS4; t++) { // @unroll
      let channel = c + t * CHANNEL_LANES;
      if (query <= last && channel < HEAD_CHANNELS4) {
        let at = (image * params.queries + query) * params.channels4 + head + channel;
        y[at - params.y_base] = sum[i * LANE_CHANNELS4 + t] * factor[i][g];
      }
    }
  }
}
