// Scaled dot-product attention (see lib/attention_io.wgsl) without a score matrix, with a running maximum and sum over
// blocks of keys (Milakov & Gimelshein 2018; Dao et al. 2022).
//
// A workgroup computes QUERIES queries (x) of one head (y) of one image (z). In each block of 4 · LANES keys
//   - a lane computes the scores of 4 neighbouring keys with all queries,
//   - LANES / QUERIES lanes share the softmax of one query,
//   - lanes own channels for the product with v: CHANNEL_LANES lanes with LANE_CHANNELS4 vec4s each cover the head, and
//     SPLITS = LANES / CHANNEL_LANES such sets take every SPLITS-th group of 4 keys; their sums are added at the end.
// Needs QUERIES a divisor of LANES, CHANNEL_LANES too, CHANNEL_LANES · LANE_CHANNELS4 >= HEAD_CHANNELS4.

const LANES: u32 = 64u;
const QUERIES: u32 = 8u;
const HEAD_CHANNELS4: u32 = 16u;
const CHANNEL_LANES: u32 = 8u;
const LANE_CHANNELS4: u32 = 2u;
const SPLITS: u32 = LANES / CHANNEL_LANES;
const ROW_LANES: u32 = LANES / QUERIES;
// Score of a key that a query does not see: exp() of it is 0, and no overflow is near.
const UNSEEN: f32 = -1e38;

// Scores, then weights, [QUERIES, LANES] vec4 of neighbouring keys; in the end sums, [QUERIES, LANES] vec4 of channels.
var<workgroup> tile: array<vec4<f32>, QUERIES * LANES>;
// A value per lane for exchange within the lanes of a query.
var<workgroup> exchange: array<f32, LANES>;
// Per query: factor for what was summed before, in the end 1 / sum of the weights.
var<workgroup> factor: array<f32, QUERIES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = params.batch_begin + group.z;
  let head = group.y * HEAD_CHANNELS4;
  let first = params.row_begin + group.x * QUERIES;
  let last = min(first + QUERIES, params.row_begin + params.rows) - 1u;
  let kv = n * params.kv_stride4 + head;
  var q_at: array<u32, QUERIES>;
  for (var i = 0u; i < QUERIES; i++) { // @unroll
    q_at[i] = (n * params.queries + min(first + i, last)) * params.channels4 + head - params.q_base;
  }

  // This lane's query in the softmax, its share of the columns, its maximum and this lane's part of its sum.
  let row = lane / ROW_LANES;
  let column = lane % ROW_LANES;
  var row_max = UNSEEN;
  var row_sum = 0.0;
  // This lane's channels and keys in the product with v.
  let c4 = lane % CHANNEL_LANES;
  let split = lane / CHANNEL_LANES;
  var sum: array<vec4<f32>, QUERIES * LANE_CHANNELS4>;

  let end = select(params.keys, min(params.keys, last + 1u), params.causal != 0u);
  for (var begin = 0u; begin < end; begin += 4u * LANES) {
    // Scores of keys begin + 4 · lane and the next three.
    let key = begin + 4u * lane;
    let key0 = kv + min(key, params.keys - 1u) * params.channels4;
    let key1 = kv + min(key + 1u, params.keys - 1u) * params.channels4;
    let key2 = kv + min(key + 2u, params.keys - 1u) * params.channels4;
    let key3 = kv + min(key + 3u, params.keys - 1u) * params.channels4;
    var score = array<vec4<f32>, QUERIES>();
    let depth = select(0u, HEAD_CHANNELS4, key < end);
    for (var d = 0u; d < depth; d++) {
      let k0 = k[key0 + d];
      let k1 = k[key1 + d];
      let k2 = k[key2 + d];
      let k3 = k[key3 + d];
      for (var i = 0u; i < QUERIES; i++) { // @unroll
        let qi = q[q_at[i] + d];
        score[i] += vec4(dot(qi, k0), dot(qi, k1), dot(qi, k2), dot(qi, k3));
      }
    }
    let key4 = vec4<u32>(0u, 1u, 2u, 3u) + key;
    for (var i = 0u; i < QUERIES; i++) { // @unroll
      let seen = key4 < vec4<u32>(select(params.keys, min(params.keys, first + i + 1u), params.causal != 0u));
      tile[i * LANES + lane] = select(vec4<f32>(UNSEEN), params.scale * score[i], seen);
    }
    workgroupBarrier();

    // Scores to weights exp(score - maximum), with the new maximum of all lanes of the query.
    var top = vec4<f32>(UNSEEN);
    for (var j = column; j < LANES; j += ROW_LANES) {
      top = max(top, tile[row * LANES + j]);
    }
    exchange[lane] = max(max(top.x, top.y), max(top.z, top.w));
    workgroupBarrier();
    let old_max = row_max;
    for (var j = 0u; j < ROW_LANES; j++) {
      row_max = max(row_max, exchange[row * ROW_LANES + j]);
    }
    let shrink = exp(old_max - row_max);
    var added = vec4<f32>();
    for (var j = column; j < LANES; j += ROW_LANES) {
      let weight = exp(tile[row * LANES + j] - row_max);
      tile[row * LANES + j] = weight;
      added += weight;
    }
    row_sum = row_sum * shrink + added.x + added.y + added.z + added.w;
    if (column == 0u) {
      factor[row] = shrink;
    }
    workgroupBarrier();

    // sum = sum · factor + weights · v.
    for (var i = 0u; i < QUERIES; i++) { // @unroll
      let f = factor[i];
      for (var t = 0u; t < LANE_CHANNELS4; t++) { // @unroll
        sum[i * LANE_CHANNELS4 + t] *= f;
      }
    }
    let groups = (min(end - begin, 4u * LANES) + 3u) / 4u;
    for (var j = split; j < groups; j += SPLITS) {
      var weight: array<vec4<f32>, QUERIES>;
      for (var i = 0u; i < QUERIES; i++) { // @unroll
        weight[i] = tile[i * LANES + j];
      }
      for (var m = 0u; m < 4u; m++) { // @unroll
        let at = kv + min(begin + 4u * j + m, params.keys - 1u) * params.channels4;
        for (var t = 0u; t < LANE_CHANNELS4; t++) { // @unroll
          let value = v[at + min(c4 + t * CHANNEL_LANES, HEAD_CHANNELS4 - 1u)];
          for (var i = 0u; i < QUERIES; i++) { // @unroll
            sum[i * LANE_CHANNELS4 + t] += weight[i][m] * value;
          }
        }
      }
    }
    workgroupBarrier();
  }

  exchange[lane] = row_sum;
  workgroupBarrier();
  if (column == 0u) {
    var total = 0.0;
    for (var j = 0u; j < ROW_LANES; j++) {
      total += exchange[lane + j];
    }
    factor[row] = 1.0 / total;
  }
  for (var t = 0u; t < LANE_CHANNELS4; t++) { // @unroll
    for (var i = 0u; i < QUERIES; i++) { // @unroll
      tile[i * LANES + lane] = sum[i * LANE_CHANNELS4 + t];
    }
    workgroupBarrier();
    for (var e = lane; e < QUERIES * CHANNEL_LANES; e += LANES) {
      let i = e / CHANNEL_LANES;
      let channel = e % CHANNEL_LANES + t * CHANNEL_LANES;
      if (first + i <= last && channel < HEAD_CHANNELS4) {
        var total = vec4<f32>();
        for (var s = 0u; s < SPLITS; s++) {
          total += tile[i * LANES + s * CHANNEL_LANES + e % CHANNEL_LANES];
        }
        let at = (n * params.queries + first + i) * params.channels4 + head + channel - params.y_base;
        y[at] = total * factor[i];
      }
    }
    workgroupBarrier();
  }
}
