// Batched matrix product (see lib/gemm_io.wgsl) in registers, f32.
// A subgroup computes SUBGROUP · TP rows × 4 · TC4 columns: each lane owns TP rows, loads them itself, and gets the
// other operand, which the lanes load together, by subgroup broadcast. No workgroup memory. One matrix i per z.
// Needs subgroups of exactly SUBGROUP lanes, and TC4 a divisor or a multiple of SUBGROUP.

const SUBGROUP: u32 = 8u;
const WAVES: u32 = 4u;
const TP: u32 = 8u;
const TC4: u32 = 4u;
const WORKGROUP: u32 = SUBGROUP * WAVES;
// Sums are taken over blocks of the inner axis and added up: the rounding error grows with the blocks' length and
// number, not with their product.
const BLOCK4: u32 = 16u;
// Operands of 4 inner steps × TC4 vec4 are spread over the lanes in this many loads.
const LOADS: u32 = (4u * TC4 + SUBGROUP - 1u) / SUBGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.x * WAVES + local / SUBGROUP) * SUBGROUP * TP + lane;
  let column = group.y * TC4;
  let a_begin = group.z * params.rows;

  var row: array<u32, TP>;
  var total: array<vec4<f32>, TP * TC4>;
  for (var p = 0u; p < TP; p++) { // @unroll
    row[p] = params.a_base + (a_begin + min(first + p * SUBGROUP, params.rows - 1u)) * params.inner4;
  }
  // Which operand of a step this lane loads: inner index and column. TC4 divides the width of a panel.
  let panel = panel_column(column, 4u * params.inner4, params.columns4, params.panel4);
  var offset: array<u32, LOADS>;
  for (var l = 0u; l < LOADS; l++) { // @unroll
    offset[l] = (l * SUBGROUP + lane) / TC4 * panel.stride + (l * SUBGROUP + lane) % TC4 + panel.at;
  }
  var b_row = params.weight_base + group.z * 4u * params.inner4 * params.columns4;
  for (var begin = 0u; begin < params.inner4; begin += BLOCK4) {
    var sum = array<vec4<f32>, TP * TC4>();
    for (var k4 = begin; k4 < min(begin + BLOCK4, params.inner4); k4++) {
      var w: array<vec4<f32>, LOADS>;
      for (var l = 0u; l < LOADS; l++) { // @unroll
        w[l] = load_weight(b_row + offset[l]);
      }
      var v: array<vec4<f32>, TP>;
      for (var p = 0u; p < TP; p++) { // @unroll
        v[p] = a[row[p] + k4];
      }
      // All steps of one sum in a row: where sums are spilled, each is loaded and stored once.
      for (var j = 0u; j < TC4; j++) { // @unroll
        var wj: array<vec4<f32>, 4>;
        for (var k = 0u; k < 4u; k++) { // @unroll
          wj[k] = subgroupBroadcast(w[(k * TC4 + j) / SUBGROUP], (k * TC4 + j) % SUBGROUP);
        }
        for (var p = 0u; p < TP; p++) { // @unroll
          for (var k = 0u; k < 4u; k++) { // @unroll
            sum[p * TC4 + j] += v[p][k] * wj[k];
          }
        }
      }
      b_row += 4u * panel.stride;
    }
    for (var i = 0u; i < TP * TC4; i++) { // @unroll
      total[i] += sum[i];
    }
  }
  for (var p = 0u; p < TP; p++) { // @unroll
    for (var j = 0u; j < TC4; j++) { // @unroll
      if (first + p * SUBGROUP < params.rows && column + j < params.columns4) {
        c[params.c_base + (a_begin + first + p * SUBGROUP) * params.columns4 + column + j] = total[p * TC4 + j];
      }
    }
  }
}
