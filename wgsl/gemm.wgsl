// Batched matrix product (see lib/gemm_io.wgsl) with tiles in workgroup memory, f32.
// A workgroup of LANES_M × LANES_N threads computes BM = LANES_M · TM rows × BN4 = LANES_N · TN4 vec4 of columns; in
// each step it stages BK4 vec4 of the inner axis of both operands. One matrix i per z.

const LANES_M: u32 = 8u;
const LANES_N: u32 = 8u;
const TM: u32 = 8u;
const TN4: u32 = 2u;
const BK4: u32 = 4u;
// Sums are taken over blocks of the inner axis and added up: the rounding error grows with the blocks' length and
// number, not with their product. A multiple of BK4.
const BLOCK4: u32 = 16u;
const WORKGROUP: u32 = LANES_M * LANES_N;
const BM: u32 = LANES_M * TM;
const BN4: u32 = LANES_N * TN4;
const A_LOADS: u32 = (BM * BK4 + WORKGROUP - 1u) / WORKGROUP;
const B_LOADS: u32 = (4u * BK4 * BN4 + WORKGROUP - 1u) / WORKGROUP;

var<workgroup> a_tile: array<vec4<f32>, BK4 * BM>;
var<workgroup> b_tile: array<vec4<f32>, 4u * BK4 * BN4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let m = local / LANES_N;
  let n = local % LANES_N;
  let first = group.x * BM;
  let column = group.y * BN4;
  let a_begin = group.z * params.rows;
  let b_begin = group.z * 4u * params.inner4;

  var total: array<vec4<f32>, TM * TN4>;
  var sum: array<vec4<f32>, TM * TN4>;
  for (var k0 = 0u; k0 < params.inner4; k0 += BK4) {
    if (k0 % BLOCK4 == 0u) {
      for (var i = 0u; i < TM * TN4; i++) { // @unroll
        total[i] += sum[i];
        sum[i] = vec4<f32>();
      }
    }
    workgroupBarrier();
    for (var l = 0u; l < A_LOADS; l++) { // @unroll
      let e = l * WORKGROUP + local;
      let row = min(first + e / BK4, params.rows - 1u);
      let k4 = k0 + e % BK4;
      if (e < BK4 * BM) {
        let index = params.a_base + (a_begin + row) * params.inner4 + min(k4, params.inner4 - 1u);
        a_tile[e % BK4 * BM + e / BK4] = select(vec4<f32>(), a[index], k4 < params.inner4);
      }
    }
    for (var l = 0u; l < B_LOADS; l++) { // @unroll
      let e = l * WORKGROUP + local;
      let k = min(4u * k0 + e / BN4, 4u * params.inner4 - 1u);
      let n4 = min(column + e % BN4, params.columns4 - 1u);
      if (e < 4u * BK4 * BN4) {
        b_tile[e] = unpack_weight(b[params.b_base + (b_begin + k) * params.columns4 + n4]);
      }
    }
    workgroupBarrier();
    for (var k4 = 0u; k4 < BK4; k4++) { // @unroll
      var v = array<vec4<f32>, TM>();
      for (var i = 0u; i < TM; i++) { // @unroll
        v[i] = a_tile[k4 * BM + m + i * LANES_M];
      }
      for (var k = 0u; k < 4u; k++) { // @unroll
        for (var j = 0u; j < TN4; j++) { // @unroll
          let w = b_tile[(k4 * 4u + k) * BN4 + n + j * LANES_N];
          for (var i = 0u; i < TM; i++) { // @unroll
            sum[i * TN4 + j] += v[i][k] * w;
          }
        }
      }
    }
  }
  for (var i = 0u; i < TM; i++) { // @unroll
    for (var j = 0u; j < TN4; j++) { // @unroll
      let row = first + m + i * LANES_M;
      let n4 = column + n + j * LANES_N;
      if (row < params.rows && n4 < params.columns4) {
        c[params.c_base + (a_begin + row) * params.columns4 + n4] = total[i * TN4 + j] + sum[i * TN4 + j];
      }
    }
  }
}
