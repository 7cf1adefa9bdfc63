// 2-D convolution (see lib/conv2d_io.wgsl) as an implicit matrix product with tiles in workgroup memory.
// A workgroup of LANES_M × LANES_N threads computes BM = LANES_M · TM pixels × BN4 = LANES_N · TN4 vec4 of output
// channels; in each step it stages BK4 vec4 of input channels of one tap for all its pixels, and their weights.

const LANES_M: u32 = 8u;
const LANES_N: u32 = 8u;
const TM: u32 = 8u;
const TN4: u32 = 2u;
const BK4: u32 = 4u;
const WORKGROUP: u32 = LANES_M * LANES_N;
const BM: u32 = LANES_M * TM;
const BN4: u32 = LANES_N * TN4;
const X_LOADS: u32 = (BM * BK4 + WORKGROUP - 1u) / WORKGROUP;
const W_LOADS: u32 = (4u * BK4 * BN4 + WORKGROUP - 1u) / WORKGROUP;

var<workgroup> x_tile: array<vec4<f32>, BK4 * BM>;
var<workgroup> w_tile: array<vec4<f32>, 4u * BK4 * BN4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let m = local / LANES_N;
  let n = local % LANES_N;
  let first = group.x * BM;
  let o4 = group.y * BN4;
  let out_channels4 = (params.out_channels + 3u) / 4u;

  var sum: array<vec4<f32>, TM * TN4>;
  var staged: array<Pixel, X_LOADS>;
  for (var l = 0u; l < X_LOADS; l++) { // @unroll
    staged[l] = band_pixel(first + (l * WORKGROUP + local) / BK4);
  }
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var kx = 0u; kx < params.kernel_width; kx++) {
      var at: array<i32, X_LOADS>;
      for (var l = 0u; l < X_LOADS; l++) { // @unroll
        at[l] = input_index(staged[l], ky, kx);
      }
      let tap_row = (ky * params.kernel_width + kx) * 4u * params.in_channels4;
      for (var c = 0u; c < params.in_channels4; c += BK4) {
        workgroupBarrier();
        for (var l = 0u; l < X_LOADS; l++) { // @unroll
          let e = l * WORKGROUP + local;
          let channel = c + e % BK4;
          if (e < BK4 * BM) {
            let inside = at[l] >= 0 && channel < params.in_channels4;
            x_tile[e % BK4 * BM + e / BK4] = select(vec4<f32>(), x[u32(max(at[l], 0)) + channel], inside);
          }
        }
        for (var l = 0u; l < W_LOADS; l++) { // @unroll
          let e = l * WORKGROUP + local;
          let channel = 4u * c + e / BN4;
          let column = o4 + e % BN4;
          if (e < 4u * BK4 * BN4) {
            let inside = channel < 4u * params.in_channels4 && column < out_channels4;
            let w = unpack_weight(weight[(tap_row + channel) * out_channels4 + column]);
            w_tile[e] = select(vec4<f32>(), w, inside);
          }
        }
        workgroupBarrier();
        for (var k4 = 0u; k4 < BK4; k4++) { // @unroll
          var v: array<vec4<f32>, TM>;
          for (var i = 0u; i < TM; i++) { // @unroll
            v[i] = x_tile[k4 * BM + m + i * LANES_M];
          }
          for (var k = 0u; k < 4u; k++) { // @unroll
            for (var j = 0u; j < TN4; j++) { // @unroll
              let wk = w_tile[(k4 * 4u + k) * BN4 + n + j * LANES_N];
              for (var i = 0u; i < TM; i++) { // @unroll
                sum[i * TN4 + j] += v[i][k] * wk;
              }
            }
          }
        }
      }
    }
  }
  for (var i = 0u; i < TM; i++) { // @unroll
    for (var j = 0u; j < TN4; j++) { // @unroll
      store_output(band_pixel(first + m + i * LANES_M), o4 + n + j * LANES_N, sum[i * TN4 + j]);
    }
  }
}
