// Elementwise operations on one to three tensors of one shape, by number:
//
//   0 residual     y = max(a + b, 0)
//   1 multiply     y = a · b
//   2 GRU          y = (1 - b) · a + b · c
//   3 scale        y = a · factor
//   4 add          y = a + b
//   5 extrapolate  y = a + factor · (b - a)
//
//   a, b, c, y  f32; b and c only where the formula has them
// One invocation per vec4 of the bound range. Zero padding channels stay zero.

struct Params {
  count: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> c: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

const OP: u32 = 0u;
const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (i >= params.count) {
    return;
  }
  switch (OP) {
    case 1u: { y[i] = a[i] * b[i]; }
    case 2u: { y[i] = (1.0 - b[i]) * a[i] + b[i] * c[i]; }
    case 3u: { y[i] = a[i] * params.factor; }
    case 4u: { y[i] = a[i] + b[i]; }
    case 5u: { y[i] = a[i] + params.factor * (b[i] - a[i]); }
    default: { y[i] = max(a[i] + b[i], vec4<f32>()); }
  }
}
