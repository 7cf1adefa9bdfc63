// Winograd F(4×4, 3×3), input: v = Bᵀ · d · B for every 6×6 patch d of the normalised, activated, padded input.
//
//   d[n, y, x, c] = activation((x - mean) · scale + bias) inside the image, 0 outside
//
//   x, x2   [N, src_height, src_width, Ca / 4 and Cb / 4]  vec4 along C; read as if concatenated, and resized (nearest)
//                                                          to height × width; x2 only where SECOND
//   stats   [N or 1, 2, C]      f32; row 0 mean, row 1 scale; stats_stride4 is 0 where one row pair serves all images
//   bias    [C]                 f32
//   v       [36, tiles, C / 4]  vec4 along C; tile = (image, tile row, tile column) of the band
// A tile is 4×4 outputs, so patches overlap by 2; the convolution pads by 1. One invocation per tile and vec4 of
// channels. One dispatch computes `rows` tile rows from row_begin of images from batch_begin on. *_base is the first
// vec4 that is bound.

struct Params {
  batch_begin: u32,
  row_begin: u32,
  rows: u32,
  columns: u32,
  tiles: u32,
  height: u32,
  width: u32,
  src_height: u32,
  src_width: u32,
  channels4: u32,
  first_channels4: u32,
  stats_stride4: u32,
  has_norm: u32,
  has_bias: u32,
  x_base: u32,
  x2_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

// One of the numbers in activation.wgsl.
const ACTIVATION: u32 = 0u;
// 1 where x2 holds the channels from first_channels4 on.
const SECOND: u32 = 0u;
const WORKGROUP: u32 = 64u;
const HALF_ROOT2: f32 = 0.7071067811865476;

struct Norm {
  mean: vec4<f32>,
  scale: vec4<f32>,
  bias: vec4<f32>,
}

fn load_norm(n: u32, c4: u32) -> Norm {
  var norm = Norm(vec4<f32>(), vec4<f32>(1.0), vec4<f32>());
  if (params.has_norm != 0u) {
    norm.mean = stats[n * params.stats_stride4 + c4];
    norm.scale = stats[n * params.stats_stride4 + params.channels4 + c4];
  }
  if (params.has_bias != 0u) {
    norm.bias = bias[c4];
  }
  return norm;
}

fn load_pixel(n: u32, row: i32, column: i32, c4: u32, norm: Norm) -> vec4<f32> {
  let inside = row >= 0 && row < i32(params.height) && column >= 0 && column < i32(params.width);
  let sy = nearest(u32(max(row, 0)), params.src_height, params.height);
  let sx = nearest(u32(max(column, 0)), params.src_width, params.width);
  let pixel = (n * params.src_height + sy) * params.src_width + sx;
  var value: vec4<f32>;
  if (SECOND == 1u && c4 >= params.first_channels4) {
    let index = pixel * (params.channels4 - params.first_channels4) + c4 - params.first_channels4 - params.x2_base;
    value = x2[select(0u, index, inside)];
  } else {
    let index = pixel * params.first_channels4 + c4 - params.x_base;
    value = x[select(0u, index, inside)];
  }
  return select(vec4<f32>(), activate((value - norm.mean) * norm.scale + norm.bias, ACTIVATION), inside);
}

fn transform(d: array<vec4<f32>, 6>) -> array<vec4<f32>, 6> {
  let even1 = d[4] - 2.0 * d[2];
  let odd1 = HALF_ROOT2 * (d[3] - 2.0 * d[1]);
  let even2 = d[4] - 0.5 * d[2];
  let odd2 = HALF_ROOT2 * (2.0 * d[3] - d[1]);
  return array<vec4<f32>, 6>(
    d[0] - 2.5 * d[2] + d[4],
    even1 + odd1,
    even1 - odd1,
    even2 + odd2,
    even2 - odd2,
    d[1] - 2.5 * d[3] + d[5],
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  let tile = i / params.channels4;
  let c4 = i % params.channels4;
  if (tile >= params.tiles) {
    return;
  }
  let per_image = params.rows * params.columns;
  let n = params.batch_begin + tile / per_image;
  let rest = tile % per_image;
  let y0 = i32(4u * (params.row_begin + rest / params.columns)) - 1;
  let x0 = i32(4u * (rest % params.columns)) - 1;
  let norm = load_norm(n, c4);

  // Rows first: each row of the patch becomes a row of 6 transformed values.
  var d: array<array<vec4<f32>, 6>, 6>;
  for (var r = 0u; r < 6u; r++) { // @unroll
    d[r] = transform(array<vec4<f32>, 6>(
      load_pixel(n, y0 + i32(r), x0, c4, norm),
      load_pixel(n, y0 + i32(r), x0 + 1, c4, norm),
      load_pixel(n, y0 + i32(r), x0 + 2, c4, norm),
      load_pixel(n, y0 + i32(r), x0 + 3, c4, norm),
      load_pixel(n, y0 + i32(r), x0 + 4, c4, norm),
      load_pixel(n, y0 + i32(r), x0 + 5, c4, norm),
    ));
  }
  let step = params.tiles * params.channels4;
  for (var s = 0u; s < 6u; s++) { // @unroll
    let column = transform(array<vec4<f32>, 6>(d[0][s], d[1][s], d[2][s], d[3][s], d[4][s], d[5][s]));
    for (var r = 0u; r < 6u; r++) { // @unroll
      v[(6u * r + s) * step + i] = column[r];
    }
  }
}
