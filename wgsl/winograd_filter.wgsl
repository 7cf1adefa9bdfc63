// Winograd F(4×4, 3×3), filters: u = G · weight · Gᵀ (Lavin & Gray 2015), with the points 0, ±1/√2, ±√2, ∞, whose
// rounding error is half of that of 0, ±1, ±2, ∞.
//   weight   [9, C, O / 4]    vec4 along O, in panels as conv2d has it; f32 or packed f16
//   operand  [36, Ct, O / 4]  vec4 along O, each matrix in panels; these C input channels begin at row first_channel
// u is the operand. One dispatch writes its matrices from `first` to before `end`: it may exceed what can be bound.
// One invocation per input channel and vec4 of output channels.

struct Params {
  channels: u32,
  first_channel: u32,
  total_channels: u32,
  columns4: u32,
  panel4: u32,
  first: u32,
  end: u32,
  operand_base: u32,
}

const WEIGHT: u32 = 0u;
const OPERAND: u32 = 1u;
@group(0) @binding(2) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;
const ROOT2: f32 = 1.4142135623730951;

fn transform(g: array<vec4<f32>, 3>) -> array<vec4<f32>, 6> {
  let even1 = (2.0 * g[0] + g[2]) * (-1.0 / 3.0);
  let odd1 = g[1] * (-ROOT2 / 3.0);
  let even2 = (g[0] + 2.0 * g[2]) * (1.0 / 6.0);
  let odd2 = g[1] * (ROOT2 / 6.0);
  return array<vec4<f32>, 6>(g[0], even1 + odd1, even1 - odd1, even2 + odd2, even2 - odd2, g[2]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  let c = i / params.columns4;
  let o4 = i % params.columns4;
  if (c >= params.channels) {
    return;
  }
  let source = panel_column(o4, 9u * params.channels, params.columns4, params.panel4);
  let target_column = panel_column(o4, params.total_channels, params.columns4, params.panel4);
  let w = source.at + c * source.stride;
  let tap = params.channels * source.stride;
  var rows: array<array<vec4<f32>, 6>, 3>;
  for (var r = 0u; r < 3u; r++) { // @unroll
    rows[r] = transform(array<vec4<f32>, 3>(
      load_weight(w + 3u * r * tap),
      load_weight(w + (3u * r + 1u) * tap),
      load_weight(w + (3u * r + 2u) * tap),
    ));
  }
  let matrix = params.total_channels * params.columns4;
  let at = target_column.at + (params.first_channel + c) * target_column.stride;
  // Compared as indices: a condition on uniforms alone makes lavapipe 22.3 compile the shader anew for each dispatch.
  let begin = params.first * matrix;
  let end = params.end * matrix;
  for (var s = 0u; s < 6u; s++) { // @unroll
    let column = transform(array<vec4<f32>, 3>(rows[0][s], rows[1][s], rows[2][s]));
    for (var r = 0u; r < 6u; r++) { // @unroll
      let to = (6u * r + s) * matrix + at;
      if (to >= begin && to < end) {
        store_operand(to - params.operand_base, column[r]);
      }
    }
  }
}
