// 2-D convolution (see lib/conv2d_io.wgsl) as an implicit matrix product with tiles in workgroup memory.
// A workgroup of LANES_M × LANES_N threads computes LANES_M · TM pixels × LANES_N · TN4 vec4 of output channels; thread
// (m, n) has pixels m + i · LANES_M and vec4s n + j · LANES_N. In each step it stages BK4 vec4 of input channels of one
// tap for all its pixels, and their weights. All tiles add in the same order.
// LANES_M · LANES_N must be a multiple of BK4 and of LANES_N · TN4.

const LANES_M: u32 = 16u;
const LANES_N: u32 = 8u;
const TM: u32 = 4u;
const TN4: u32 = 2u;
const BK4: u32 = 4u;
const WORKGROUP: u32 = LANES_M * LANES_N;
const BM: u32 = LANES_M * TM;
const BN4: u32 = LANES_N * TN4;
const X_SIZE: u32 = BM * BK4;
const W_SIZE: u32 = 4u * BK4 * BN4;
const X_LOADS: u32 = (X_SIZE + WORKGROUP - 1u) / WORKGROUP;
const W_LOADS: u32 = (W_SIZE + WORKGROUP - 1u) / WORKGROUP;
// Whether all threads take part in the last load.
const X_EVEN: bool = X_SIZE % WORKGROUP == 0u;
const W_EVEN: bool = W_SIZE % WORKGROUP == 0u;

// The reasons for this nesting are those of gemm.wgsl.
struct Pixels {
  at: array<array<vec4<f32>, LANES_M>, TM>,
  padding: vec4<f32>,
}
var<workgroup> x_tile: array<Pixels, BK4>;
var<workgroup> w_tile: array<array<array<vec4<f32>, LANES_N>, TN4>, 4u * BK4>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let m = local / LANES_N;
  let n = local % LANES_N;
  let first = group.x * BM;
  let o4 = group.y * BN4;
  let out_channels4 = (params.out_channels + 3u) / 4u;

  // What this thread stages: one vec4 of channels of some pixels, and one vec4 of some rows of weights.
  let x_c = local % BK4;
  var staged: array<Pixel, X_LOADS>;
  for (var l = 0u; l < X_LOADS; l++) { // @unroll
    staged[l] = band_pixel(first + (l * WORKGROUP + local) / BK4);
  }
  let w_o4 = min(o4 + local % BN4, out_channels4 - 1u);
  let w_rows = 4u * params.in_channels4 * params.kernel_height * params.kernel_width;
  let w_column = weight_column(w_o4);
  let w_last = w_column.at + (w_rows - 1u) * w_column.stride;

  var sum: array<vec4<f32>, TM * TN4>;
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    for (var kx = 0u; kx < params.kernel_width; kx++) {
      var at: array<i32, X_LOADS>;
      for (var l = 0u; l < X_LOADS; l++) { // @unroll
        at[l] = input_index(staged[l], ky, kx);
      }
      let tap = (ky * params.kernel_width + kx) * 4u * params.in_channels4;
      var w_at = w_column.at + (tap + local / BN4) * w_column.stride;
      for (var c0 = 0u; c0 < params.in_channels4; c0 += BK4) {
        workgroupBarrier();
        let c = c0 + x_c;
        for (var l = 0u; l < X_LOADS; l++) { // @unroll
          let e = l * WORKGROUP + local;
          if (X_EVEN || e < X_SIZE) {
            let inside = at[l] >= 0 && c < params.in_channels4;
            let value = select(vec4<f32>(), x[u32(max(at[l], 0)) + c], inside);
            x_tile[x_c].at[e / BK4 / LANES_M][e / BK4 % LANES_M] = value;
          }
        }
        for (var l = 0u; l < W_LOADS; l++) { // @unroll
          let e = l * WORKGROUP + local;
          if (W_EVEN || e < W_SIZE) {
            // Beyond the last channel these are weights of the next tap: the input there is 0.
            let value = load_weight(min(w_at + l * (WORKGROUP / BN4) * w_column.stride, w_last));
            w_tile[e / BN4][local % BN4 / LANES_N][local % LANES_N] = value;
          }
        }
        w_at += 4u * BK4 * w_column.stride;
        workgroupBarrier();
        for (var k4 = 0u; k4 < BK4; k4++) { // @unroll
          var v: array<vec4<f32>, TM>;
          for (var i = 0u; i < TM; i++) { // @unroll
            v[i] = x_tile[k4].at[i][m];
          }
          for (var k = 0u; k < 4u; k++) { // @unroll
            for (var j = 0u; j < TN4; j++) { // @unroll
              let wk = w_tile[4u * k4 + k][j][n];
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
    let pixel = band_pixel(first + m + i * LANES_M);
    for (var j = 0u; j < TN4; j++) { // @unroll
      let column4 = o4 + n + j * LANES_N;
      store_output(pixel, column4, sum[i * TN4 + j] + load_bias(column4));
    }
  }
}
