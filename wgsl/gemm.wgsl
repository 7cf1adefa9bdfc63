// Batched matrix product (see lib/gemm_io.wgsl) with tiles in workgroup memory, f32.
// A workgroup of LANES_M × LANES_N threads computes LANES_M · TM rows × LANES_N · TN4 vec4 of columns of one matrix (z);
// thread (m, n) has rows m + i · LANES_M and vec4s n + j · LANES_N. In each step it stages BK4 vec4 of the inner axis of
// both operands. All tiles add in the same order, which is that of gemm_subgroup.wgsl.
// LANES_M · LANES_N must be a multiple of BK4 and of LANES_N · TN4.

const LANES_M: u32 = 16u;
const LANES_N: u32 = 8u;
const TM: u32 = 4u;
const TN4: u32 = 2u;
const BK4: u32 = 4u;
// Sums are taken over blocks of the inner axis and added up: the rounding error grows with the blocks' length and
// number, not with their product. A multiple of BK4.
const BLOCK4: u32 = 16u;
const WORKGROUP: u32 = LANES_M * LANES_N;
const BM: u32 = LANES_M * TM;
const BN4: u32 = LANES_N * TN4;
const A_SIZE: u32 = BM * BK4;
const B_SIZE: u32 = 4u * BK4 * BN4;
const A_LOADS: u32 = (A_SIZE + WORKGROUP - 1u) / WORKGROUP;
const B_LOADS: u32 = (B_SIZE + WORKGROUP - 1u) / WORKGROUP;
// Whether all threads take part in the last load.
const A_EVEN: bool = A_SIZE % WORKGROUP == 0u;
const B_EVEN: bool = B_SIZE % WORKGROUP == 0u;

// WGSL compilers clamp each index that is no constant. Nested like this, a read has one such index, m or n, clamped once
// for all; the others become an offset in the instruction.
struct Rows {
  at: array<array<vec4<f32>, LANES_M>, TM>,
  // Neighbouring threads store neighbours on the inner axis: in different banks.
  padding: vec4<f32>,
}
var<workgroup> a_tile: array<Rows, BK4>;
var<workgroup> b_tile: array<array<array<vec4<f32>, LANES_N>, TN4>, 4u * BK4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let m = local / LANES_N;
  let n = local % LANES_N;
  let first = group.x * BM;
  let column = group.y * BN4;
  let a_begin = params.a_base + group.z * params.rows * params.inner4;
  let b_begin = params.weight_base + group.z * 4u * params.inner4 * params.columns4;

  // What this thread stages: one vec4 of some rows of a, and one of some rows of the weights.
  let a_k4 = local % BK4;
  var a_row: array<u32, A_LOADS>;
  for (var l = 0u; l < A_LOADS; l++) { // @unroll
    let row = min(first + (l * WORKGROUP + local) / BK4, params.rows - 1u);
    a_row[l] = a_begin + row * params.inner4;
  }
  let b_n4 = min(column + local % BN4, params.columns4 - 1u);
  let b_column = panel_column(b_n4, 4u * params.inner4, params.columns4, params.panel4);
  let b_last = b_begin + b_column.at + (4u * params.inner4 - 1u) * b_column.stride;
  var b_at = b_begin + b_column.at + local / BN4 * b_column.stride;

  var total: array<vec4<f32>, TM * TN4>;
  for (var begin = 0u; begin < params.inner4; begin += BLOCK4) {
    var sum = array<vec4<f32>, TM * TN4>();
    for (var k0 = begin; k0 < min(begin + BLOCK4, params.inner4); k0 += BK4) {
      workgroupBarrier();
      let k4 = k0 + a_k4;
      for (var l = 0u; l < A_LOADS; l++) { // @unroll
        let e = l * WORKGROUP + local;
        if (A_EVEN || e < A_SIZE) {
          let value = a[a_row[l] + min(k4, params.inner4 - 1u)];
          a_tile[a_k4].at[e / BK4 / LANES_M][e / BK4 % LANES_M] = select(vec4<f32>(), value, k4 < params.inner4);
        }
      }
      for (var l = 0u; l < B_LOADS; l++) { // @unroll
        let e = l * WORKGROUP + local;
        if (B_EVEN || e < B_SIZE) {
          let value = load_weight(min(b_at + l * (WORKGROUP / BN4) * b_column.stride, b_last));
          b_tile[e / BN4][local % BN4 / LANES_N][local % LANES_N] = value;
        }
      }
      b_at += 4u * BK4 * b_column.stride;
      workgroupBarrier();
      for (var k4 = 0u; k4 < BK4; k4++) { // @unroll
        var v: array<vec4<f32>, TM>;
        for (var i = 0u; i < TM; i++) { // @unroll
          v[i] = a_tile[k4].at[i][m];
        }
        for (var k = 0u; k < 4u; k++) { // @unroll
          for (var j = 0u; j < TN4; j++) { // @unroll
            let w = b_tile[4u * k4 + k][j][n];
            for (var i = 0u; i < TM; i++) { // @unroll
              sum[i * TN4 + j] += v[i][k] * w;
            }
          }
        }
      }
    }
    for (var i = 0u; i < TM * TN4; i++) { // @unroll
      total[i] += sum[i];
    }
  }
  for (var i = 0u; i < TM; i++) { // @unroll
    for (var j = 0u; j < TN4; j++) { // @unroll
      let row = first + m + i * LANES_M;
      let n4 = column + n + j * LANES_N;
      if (row < params.rows && n4 < params.columns4) {
        c[params.c_base + (group.z * params.rows + row) * params.columns4 + n4] = total[i * TN4 + j];
      }
    }
  }
}
