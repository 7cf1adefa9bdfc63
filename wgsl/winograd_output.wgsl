// Winograd F(4×4, 3×3), output: y = activation(Aᵀ · m · A + bias + channel_add) · scale + residual.
//   m            [36, tiles, O / 4]     vec4 along O; products of transformed input and filters
//   bias         [O]                    f32
//   channel_add  [N, O]                 f32, or [1, O] with add_stride4 0
//   residual, y  [N, height, width, O]  f32; has_residual 2 adds it before the activation instead
// One invocation per tile of 4×4 outputs and vec4 of channels; tiles and bands as in winograd_input.wgsl. *_base is the
// first vec4 that is bound. Channels beyond O in the last vec4 are written as 0.

struct Params {
  batch_begin: u32,
  row_begin: u32,
  rows: u32,
  columns: u32,
  tiles: u32,
  height: u32,
  width: u32,
  channels: u32,
  add_stride4: u32,
  has_bias: u32,
  has_add: u32,
  has_residual: u32,
  scale: f32,
  residual_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> m: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> channel_add: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

// One of the numbers in activation.wgsl.
const ACTIVATION: u32 = 0u;
const WORKGROUP: u32 = 64u;
const ROOT2: f32 = 1.4142135623730951;

fn transform(p: array<vec4<f32>, 6>) -> array<vec4<f32>, 4> {
  let even1 = p[1] + p[2];
  let odd1 = ROOT2 * (p[1] - p[2]);
  let even2 = p[3] + p[4];
  let odd2 = ROOT2 * (p[3] - p[4]);
  return array<vec4<f32>, 4>(
    p[0] + even1 + even2,
    0.5 * odd1 + odd2,
    0.5 * even1 + 2.0 * even2,
    0.25 * odd1 + 2.0 * odd2 + p[5],
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  let channels4 = (params.channels + 3u) / 4u;
  let tile = i / channels4;
  let o4 = i % channels4;
  if (tile >= params.tiles) {
    return;
  }
  let per_image = params.rows * params.columns;
  let n = params.batch_begin + tile / per_image;
  let rest = tile % per_image;
  let y0 = 4u * (params.row_begin + rest / params.columns);
  let x0 = 4u * (rest % params.columns);

  var added = vec4<f32>();
  if (params.has_bias != 0u) {
    added += bias[o4];
  }
  if (params.has_add != 0u) {
    added += channel_add[n * params.add_stride4 + o4];
  }
  let channel = vec4<u32>(0u, 1u, 2u, 3u) + 4u * o4;
  let real = channel < vec4<u32>(params.channels);

  let step = params.tiles * channels4;
  var columns: array<array<vec4<f32>, 4>, 6>;
  for (var s = 0u; s < 6u; s++) { // @unroll
    columns[s] = transform(array<vec4<f32>, 6>(
      m[s * step + i],
      m[(6u + s) * step + i],
      m[(12u + s) * step + i],
      m[(18u + s) * step + i],
      m[(24u + s) * step + i],
      m[(30u + s) * step + i],
    ));
  }
  for (var r = 0u; r < 4u; r++) { // @unroll
    let row = transform(array<vec4<f32>, 6>(
      columns[0][r],
      columns[1][r],
      columns[2][r],
      columns[3][r],
      columns[4][r],
      columns[5][r],
    ));
    for (var s = 0u; s < 4u; s++) { // @unroll
      if (y0 + r < params.height && x0 + s < params.width) {
        let index = ((n * params.height + y0 + r) * params.width + x0 + s) * channels4 + o4;
        var value = row[s] + added;
        if (params.has_residual == 2u) {
          value += residual[index - params.residual_base];
        }
        value = activate(value, ACTIVATION) * params.scale;
        if (params.has_residual == 1u) {
          value += residual[index - params.residual_base];
        }
        y[index - params.y_base] = select(vec4<f32>(), value, real);
      }
    }
  }
}
