// Scaled dot-product attention (see lib/attention_io.wgsl) in registers, with a running maximum and sum over
// blocks of keys (Milakov & Gimelshein 2018; Dao et al. 2022).
// A subgroup computes SUBGROUP · TQ queries (x) of one head (y) of one image (z): each lane owns TQ queries, with all
// their channels and sums, and gets k and v, which the lanes load together, by subgroup broadcast. The softmax of a
// query thus never leaves its lane. KEYS keys form a block. No workgroup memory.
// Needs subgroups of exactly SUBGROUP lanes.

const SUBGROUP: u32 = 8u;
const TQ: u32 = 4u;
const KEYS: u32 = 4u;
const HEAD_CHANNELS4: u32 = 4u;
// A block of k or v is spread over the lanes in this many loads.
const LOADS: u32 = (KEYS * HEAD_CHANNELS4 + SUBGROUP - 1u) / SUBGROUP;
// Score of a key that a query does not see: its weight is 0, and no overflow is near.
const UNSEEN: f32 = -1e38;
const LOG2_E: f32 = 1.4426950408889634;

@compute @workgroup_size(SUBGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let n = params.batch_begin + group.z;
  let head = group.y * HEAD_CHANNELS4;
  let first = params.row_begin + group.x * SUBGROUP * TQ;
  let last = min(first + SUBGROUP * TQ, params.row_begin + params.rows) - 1u;
  let kv = n * params.kv_stride4 + head;

  // Scores are powers of two: exp(x) = 2^(x · log2 e), and the factor costs nothing in q.
  var query: array<vec4<f32>, TQ * HEAD_CHANNELS4>;
  var total: array<vec4<f32>, TQ * HEAD_CHANNELS4>;
  var weight_sum: array<f32, TQ>;
  var top: array<f32, TQ>;
  var seen: array<u32, TQ>;
  for (var i = 0u; i < TQ; i++) { // @unroll
    let row = min(first + i * SUBGROUP + lane, last);
    let at = (n * params.queries + row) * params.channels4 + head - params.q_base;
    for (var d = 0u; d < HEAD_CHANNELS4; d++) { // @unroll
      query[i * HEAD_CHANNELS4 + d] = params.scale * LOG2_E * q[at + d];
    }
    top[i] = UNSEEN;
    seen[i] = select(params.keys, min(params.keys, row + 1u), params.causal != 0u);
  }
  let end = select(params.keys, min(params.keys, last + 1u), params.causal != 0u);

  // Which vec4s of a block this lane loads: key and channels.
  var key: array<u32, LOADS>;
  var channel4: array<u32, LOADS>;
  for (var l = 0u; l < LOADS; l++) { // @unroll
    key[l] = (l * SUBGROUP + lane) / HEAD_CHANNELS4;
    channel4[l] = kv + (l * SUBGROUP + lane) % HEAD_CHANNELS4;
  }
  for (var begin = 0u; begin < end; begin += KEYS) {
    var at: array<u32, LOADS>;
    var loaded: array<vec4<f32>, LOADS>;
    for (var l = 0u; l < LOADS; l++) { // @unroll
      at[l] = min(begin + key[l], params.keys - 1u) * params.channels4 + channel4[l];
      loaded[l] = k[at[l]];
    }
    var weight = array<f32, TQ * KEYS>();
    for (var j = 0u; j < KEYS; j++) { // @unroll
      for (var d = 0u; d < HEAD_CHANNELS4; d++) { // @unroll
        let kj = subgroupBroadcast(loaded[(j * HEAD_CHANNELS4 + d) / SUBGROUP], (j * HEAD_CHANNELS4 + d) % SUBGROUP);
        for (var i = 0u; i < TQ; i++) { // @unroll
          weight[i * KEYS + j] += dot(query[i * HEAD_CHANNELS4 + d], kj);
        }
      }
    }

    // Scores to weights 2^(score - maximum); `shrink` brings what was summed before to the new maximum.
    var shrink: array<f32, TQ>;
    for (var i = 0u; i < TQ; i++) { // @unroll
      let old_top = top[i];
      for (var j = 0u; j < KEYS; j++) { // @unroll
        weight[i * KEYS + j] = select(UNSEEN, weight[i * KEYS + j], begin + j < seen[i]);
        top[i] = max(top[i], weight[i * KEYS + j]);
      }
      shrink[i] = exp2(old_top - top[i]);
      weight_sum[i] *= shrink[i];
      for (var j = 0u; j < KEYS; j++) { // @unroll
        weight[i * KEYS + j] = exp2(weight[i * KEYS + j] - top[i]);
        weight_sum[i] += weight[i * KEYS + j];
      }
    }

    for (var l = 0u; l < LOADS; l++) { // @unroll
      loaded[l] = v[at[l]];
    }
    for (var d = 0u; d < HEAD_CHANNELS4; d++) { // @unroll
      for (var i = 0u; i < TQ; i++) { // @unroll
        total[i * HEAD_CHANNELS4 + d] *= shrink[i];
      }
      for (var j = 0u; j < KEYS; j++) { // @unroll
        let vj = subgroupBroadcast(loaded[(j * HEAD_CHANNELS4 + d) / SUBGROUP], (j * HEAD_CHANNELS4 + d) % SUBGROUP);
        for (var i = 0u; i < TQ; i++) { // @unroll
          total[i * HEAD_CHANNELS4 + d] += weight[i * KEYS + j] * vj;
        }
      }
    }
  }

  for (var i = 0u; i < TQ; i++) { // @unroll
    let row = first + i * SUBGROUP + lane;
    if (row <= last) {
      let at = (n * params.queries + row) * params.channels4 + head - params.y_base;
      for (var d = 0u; d < HEAD_CHANNELS4; d++) { // @unroll
        y[at + d] = total[i * HEAD_CHANNELS4 + d] / weight_sum[i];
      }
    }
  }
}
