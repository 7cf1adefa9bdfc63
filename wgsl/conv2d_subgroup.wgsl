// 2-D convolution (see lib/conv2d_io.wgsl) as an implicit matrix product in registers.
// A subgroup computes SUBGROUP · TP pixels × 4 · TC4 output channels: each lane owns TP pixels, loads their channels
// itself, and gets the weights, which the lanes load together, by subgroup broadcast. No workgroup memory.
// Needs subgroups of exactly SUBGROUP lanes, and TC4 a divisor or a multiple of SUBGROUP.

const SUBGROUP: u32 = 8u;
const WAVES: u32 = 4u;
const TP: u32 = 8u;
const TC4: u32 = 4u;
const WORKGROUP: u32 = SUBGROUP * WAVES;
// Weights of 4 input channels × TC4 vec4 are spread over the lanes in this many loads.
const LOADS: u32 = (4u * TC4 + SUBGROUP - 1u) / SUBGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first = (group.x * WAVES + local / SUBGROUP) * SUBGROUP * TP + lane;
  let o4 = group.y * TC4;

  var pixel: array<Pixel, TP>;
  var sum: array<vec4<f32>, TP * TC4>;
  for (var p = 0u; p < TP; p++) { // @unroll
    pixel[p] = band_pixel(first + p * SUBGROUP);
  }
  // Which weight of a step this lane loads: input channel and output vec4. TC4 divides the width of a panel.
  let panel = weight_column(o4);
  var weight_offset: array<u32, LOADS>;
  for (var l = 0u; l < LOADS; l++) { // @unroll
    weight_offset[l] = (l * SUBGROUP + lane) / TC4 * panel.stride + (l * SUBGROUP + lane) % TC4;
  }
  var weight_row = panel.at;
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var kx = 0u; kx < params.kernel_width; kx++) {
      var at: array<i32, TP>;
      for (var p = 0u; p < TP; p++) { // @unroll
        at[p] = input_index(pixel[p], ky, kx);
      }
      for (var c = 0u; c < params.in_channels4; c++) {
        var w: array<vec4<f32>, LOADS>;
        for (var l = 0u; l < LOADS; l++) { // @unroll
          w[l] = load_weight(weight_row + weight_offset[l]);
        }
        var v: array<vec4<f32>, TP>;
        for (var p = 0u; p < TP; p++) { // @unroll
          v[p] = select(vec4<f32>(), x[u32(max(at[p], 0)) + c], at[p] >= 0);
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
        weight_row += 4u * panel.stride;
      }
    }
  }
  for (var j = 0u; j < TC4; j++) { // @unroll
    let channel_bias = load_bias(o4 + j);
    for (var p = 0u; p < TP; p++) { // @unroll
      store_output(pixel[p], o4 + j, sum[p * TC4 + j] + channel_bias);
    }
  }
}
