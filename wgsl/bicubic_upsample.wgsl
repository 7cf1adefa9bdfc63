// Bicubic enlargement by an integer factor F, and replication of the last row and column beyond it.
//
//   y[n, i, j, c] = sum over 4 × 4 taps of weight · x[n, v, u, c] at ((i, j) + 1/2) / F - 1/2,
//                   a = -0.75, taps outside repeat the border; i and j are at most F · H - 1 and F · W - 1
//
//   x  [N, H, W, C]                     f32
//   y  [N, out_height, out_width, C]    f32, at least F · H × F · W
// One invocation per vec4 of `rows` output rows from row_begin of `batch` images from batch_begin on. *_base is the
// first vec4 bound of a tensor.

struct Params {
  batch_begin: u32,
  batch: u32,
  row_begin: u32,
  rows: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
  channels4: u32,
  factor: u32,
  x_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;
const A: f32 = -0.75;

// The four taps along one axis: `first` and the three after it.
struct Taps {
  first: i32,
  weights: vec4<f32>,
}

// The kernel at distance s from 0 to 1, and at distance 1 + s.
fn inner(s: f32) -> f32 {
  return ((A + 2.0) * s - (A + 3.0)) * s * s + 1.0;
}

fn outer(s: f32) -> f32 {
  return A * s * (1.0 - s) * (1.0 - s);
}

// In integers: the position is numerator / denominator, never below -1/2.
fn taps(i: u32, size: u32) -> Taps {
  let denominator = 2 * i32(params.factor);
  let numerator = 2 * i32(min(i, params.factor * size - 1u)) + 1 - i32(params.factor);
  let centre = (numerator + denominator) / denominator - 1;
  let t = f32(numerator - centre * denominator) / f32(denominator);
  return Taps(centre - 1, vec4<f32>(outer(t), inner(t), inner(1.0 - t), outer(1.0 - t)));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * WORKGROUP + local;
  let per_row = params.out_width * params.channels4;
  let row = index / per_row;
  if (row >= params.batch * params.rows) {
    return;
  }
  let image = params.batch_begin + row / params.rows;
  let i = params.row_begin + row % params.rows;
  let j = index % per_row / params.channels4;
  let c4 = index % params.channels4;
  let vertical = taps(i, params.height);
  let horizontal = taps(j, params.width);
  var sum = vec4<f32>();
  for (var ky = 0u; ky < 4u; ky++) { // @unroll
    let v = u32(clamp(vertical.first + i32(ky), 0, i32(params.height) - 1));
    let line = (image * params.height + v) * params.width;
    var line_sum = vec4<f32>();
    for (var kx = 0u; kx < 4u; kx++) { // @unroll
      let u = u32(clamp(horizontal.first + i32(kx), 0, i32(params.width) - 1));
      line_sum += horizontal.weights[kx] * x[(line + u) * params.channels4 + c4 - params.x_base];
    }
    sum += vertical.weights[ky] * line_sum;
  }
  y[((image * params.out_height + i) * params.out_width + j) * params.channels4 + c4 - params.y_base] = sum;
}
