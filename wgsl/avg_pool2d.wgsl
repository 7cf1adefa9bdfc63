// 2 × 2 average pooling with stride 2; an odd last row or column is dropped.
//
//   y[n, i, j, c] = (x[n, 2i, 2j, c] + x[n, 2i, 2j+1, c] + x[n, 2i+1, 2j, c] + x[n, 2i+1, 2j+1, c]) / 4
//
//   x  [N, H, W, C]          f32
//   y  [N, H / 2, W / 2, C]  f32
// One invocation per vec4 of `rows` output rows from row_begin of `batch` images from batch_begin on. *_base is the
// first vec4 bound of a tensor.

struct Params {
  batch_begin: u32,
  batch: u32,
  row_begin: u32,
  rows: u32,
  height: u32,
  width: u32,
  channels4: u32,
  x_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * WORKGROUP + local;
  let per_row = params.width / 2u * params.channels4;
  let row = index / per_row;
  if (row >= params.batch * params.rows) {
    return;
  }
  let image = params.batch_begin + row / params.rows;
  let i = params.row_begin + row % params.rows;
  let j = index % per_row / params.channels4;
  let c4 = index % params.channels4;
  let in_row = params.width * params.channels4;
  let first = (image * params.height + 2u * i) * in_row + 2u * j * params.channels4 + c4 - params.x_base;
  let sum = x[first] + x[first + params.channels4] + x[first + in_row] + x[first + in_row + params.channels4];
  y[(image * (params.height / 2u) + i) * per_row + index % per_row - params.y_base] = 0.25 * sum;
}
