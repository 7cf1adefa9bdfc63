// Transposes matrices into what a matrix product takes as its second operand.
//   x  [B, N, K / 4]  vec4 along K
//   y  [B, K, N / 4]  vec4 along N, each matrix in panels of panel4 (lib/panels.wgsl); columns beyond N are 0
// One invocation per 4 × 4 values; matrices along z.

struct Params {
  columns: u32,
  inner4: u32,
  panel4: u32,
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
  let id = (group.y * groups.x + group.x) * WORKGROUP + local;
  let column4 = id / params.inner4;
  let k4 = id % params.inner4;
  let columns4 = (params.columns + 3u) / 4u;
  if (column4 >= columns4) {
    return;
  }
  var block: array<vec4<f32>, 4>;
  for (var i = 0u; i < 4u; i++) { // @unroll
    let column = 4u * column4 + i;
    let row = group.z * params.columns + min(column, params.columns - 1u);
    block[i] = select(vec4<f32>(), x[row * params.inner4 + k4], column < params.columns);
  }
  let panel = panel_column(column4, 4u * params.inner4, columns4, params.panel4);
  let to = group.z * 4u * params.inner4 * columns4 + panel.at + 4u * k4 * panel.stride;
  for (var k = 0u; k < 4u; k++) { // @unroll
    y[to + k * panel.stride] = vec4<f32>(block[0][k], block[1][k], block[2][k], block[3][k]);
  }
}
