// 2-D convolution (see lib/conv2d_io.wgsl) for few channels, in registers.
// A lane computes a run of PX neighbouring output pixels × 4 · TC4 output channels. For each row of the kernel and vec4
// of input channels it loads the COLUMNS input pixels that its run reads, each once for all taps, and gets the weights,
// which the lanes load together, by subgroup broadcast. Sums run over ky, vec4s of channels, kx and their channels.
// One invocation per run and TC4 vec4s of output channels: group.x and group.z count the runs, group.y the channels.
// Needs subgroups of exactly SUBGROUP lanes, KW = kernel_width, STRIDE = stride, and TC4 a divisor of panel4 where there
// is more than one panel.

const SUBGROUP: u32 = 8u;
const WAVES: u32 = 4u;
const KW: u32 = 3u;
const STRIDE: u32 = 1u;
// Channels of a vec4 of the input that are not padding: fewer than 4 only where there is one vec4.
const CHANNELS: u32 = 4u;
const PX: u32 = 4u;
const TC4: u32 = 4u;
const WORKGROUP: u32 = SUBGROUP * WAVES;
const COLUMNS: u32 = (PX - 1u) * STRIDE + KW;
// Weights of one row of the kernel and one vec4 of input channels are spread over the lanes in this many loads.
const LOADS: u32 = (KW * CHANNELS * TC4 + SUBGROUP - 1u) / SUBGROUP;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let wave = (group.z * groups.x + group.x) * WAVES + local / SUBGROUP;
  let first = band_run(wave * SUBGROUP + lane, PX);
  let o4 = group.y * TC4;

  // Which weight of a step this lane loads: column of the kernel, input channel and output vec4.
  let panel = weight_column(o4);
  let tap = 4u * params.in_channels4 * panel.stride;
  var weight_offset: array<u32, LOADS>;
  for (var l = 0u; l < LOADS; l++) { // @unroll
    let k = (l * SUBGROUP + lane) / TC4;
    weight_offset[l] = k / CHANNELS * tap + k % CHANNELS * panel.stride + (l * SUBGROUP + lane) % TC4;
  }
  var sum: array<vec4<f32>, PX * TC4>;
  for (var ky = 0u; ky < params.kernel_height; ky++) {
    var at: array<i32, COLUMNS>;
    for (var i = 0u; i < COLUMNS; i++) { // @unroll
      at[i] = input_index(first, ky, i);
    }
    var weight_row = panel.at + ky * KW * tap;
    for (var c = 0u; c < params.in_channels4; c++) {
      var w: array<vec4<f32>, LOADS>;
      for (var l = 0u; l < LOADS; l++) { // @unroll
        w[l] = load_weight(weight_row + weight_offset[l]);
      }
      var v: array<vec4<f32>, COLUMNS>;
      for (var i = 0u; i < COLUMNS; i++) { // @unroll
        v[i] = select(vec4<f32>(), x[u32(max(at[i], 0)) + c], at[i] >= 0);
      }
      for (var j = 0u; j < TC4; j++) { // @unroll
        for (var kx = 0u; kx < KW; kx++) { // @unroll
          for (var k = 0u; k < CHANNELS; k++) { // @unroll
            let wk = subgroupBroadcast(w[((kx * CHANNELS + k) * TC4 + j) / SUBGROUP], ((kx * CHANNELS + k) * TC4 + j) % SUBGROUP);
            for (var p = 0u; p < PX; p++) { // @unroll
              sum[p * TC4 + j] += v[p * STRIDE + kx][k] * wk;
            }
          }
        }
      }
      weight_row += 4u * panel.stride;
    }
  }
  for (var j = 0u; j < TC4; j++) { // @unroll
    let channel_bias = load_bias(o4 + j);
    for (var p = 0u; p < PX; p++) { // @unroll
      store_output(run_pixel(first, p), o4 + j, sum[p * TC4 + j] + channel_bias);
    }
  }
}
