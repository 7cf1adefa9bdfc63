// Layer normalisation of every row: y = (x - mean) / sqrt(variance + eps) · weight + bias, biased variance.
//
//   x, y          [rows, C]  f32, the padding channels of y written as 0
//   weight, bias  [C]        f32
// LANES neighbouring invocations share a row, a workgroup has ROWS rows. A dispatch computes `rows` rows, the first
// at vec4 x_offset of the bound x and y_offset of the bound y.

struct Params {
  rows: u32,
  channels: u32,
  has_weight: u32,
  has_bias: u32,
  eps: f32,
  x_offset: u32,
  y_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

const LANES: u32 = 16u;
const ROWS: u32 = 4u;

var<workgroup> sums: array<vec4<f32>, ROWS * LANES>;

// Sum over the components and over the lanes of a row.
fn row_sum(value: vec4<f32>, local: u32) -> f32 {
  var total = value;
  if (LANES > 1u) {
    workgroupBarrier();
    sums[local] = value;
    workgroupBarrier();
    total = vec4<f32>();
    for (var i = 0u; i < LANES; i++) { // @unroll
      total += sums[local / LANES * LANES + i];
    }
  }
  return total.x + total.y + total.z + total.w;
}

fn is_channel(c4: u32) -> vec4<bool> {
  return vec4<u32>(0u, 1u, 2u, 3u) + 4u * c4 < vec4<u32>(params.channels);
}

@compute @workgroup_size(ROWS * LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = local % LANES;
  let row = (group.y * groups.x + group.x) * ROWS + local / LANES;
  let channels4 = (params.channels + 3u) / 4u;
  // Rows beyond the last one take part in the barriers, with no channels.
  let end = select(0u, channels4, row < params.rows);
  let x_row = params.x_offset + row * channels4;
  let y_row = params.y_offset + row * channels4;

  var sum = vec4<f32>();
  for (var c4 = lane; c4 < end; c4 += LANES) {
    sum += x[x_row + c4];
  }
  let mean = row_sum(sum, local) / f32(params.channels);
  var m2 = vec4<f32>();
  for (var c4 = lane; c4 < end; c4 += LANES) {
    let deviation = select(vec4<f32>(), x[x_row + c4] - mean, is_channel(c4));
    m2 += deviation * deviation;
  }
  let rstd = 1.0 / sqrt(row_sum(m2, local) / f32(params.channels) + params.eps);
  for (var c4 = lane; c4 < end; c4 += LANES) {
    var v = (x[x_row + c4] - mean) * rstd;
    if (params.has_weight != 0u) {
      v *= weight[c4];
    }
    if (params.has_bias != 0u) {
      v += bias[c4];
    }
    y[y_row + c4] = select(vec4<f32>(), v, is_channel(c4));
  }
}
