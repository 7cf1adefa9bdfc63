// Adds a tile to a picture, with weights that sum to one where neighbouring tiles overlap.
//
//   y[row + i, column + j] += a(i, rows) · a(j, columns) · x[i, j]
//   a(i) = ramp(i - fade_in) - ramp(i - fade_out), ramp(d) = clamp((d + 0.5) / fade, 0, 1)
//
//   x  [1, tile height, tile width, C]  f32, C up to 4
//   y  [1, height, width, C]            f32
// fade_in and fade_out are pixels of the tile where its own ramp begins and that of the next tile; far outside of it
// where there is none. One invocation per pixel of tile rows row_begin up to row_end. *_base is the first vec4 bound.

struct Params {
  row_begin: u32,
  row_end: u32,
  tile_width: u32,
  row: u32,
  column: u32,
  width: u32,
  fade: f32,
  fade_in_row: f32,
  fade_out_row: f32,
  fade_in_column: f32,
  fade_out_column: f32,
  x_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;

fn ramp(distance: f32) -> f32 {
  return clamp((distance + 0.5) / params.fade, 0.0, 1.0);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * WORKGROUP + local;
  let i = params.row_begin + index / params.tile_width;
  let j = index % params.tile_width;
  if (i >= params.row_end) {
    return;
  }
  let row_weight = ramp(f32(i) - params.fade_in_row) - ramp(f32(i) - params.fade_out_row);
  let column_weight = ramp(f32(j) - params.fade_in_column) - ramp(f32(j) - params.fade_out_column);
  let target_index = (params.row + i) * params.width + params.column + j - params.y_base;
  y[target_index] += row_weight * column_weight * x[i * params.tile_width + j - params.x_base];
}
