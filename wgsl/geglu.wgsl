// Gated GELU of every row: y[d] = x[d] · gelu(x[D + d]), exact GELU.
//
//   x  [rows, 2 D]  f32
//   y  [rows, D]    f32, the padding channels written as 0
// One invocation per 4 channels of y. A dispatch computes `rows` rows, the first at vec4 x_offset of the bound x and
// y_offset of the bound y. SHIFT = D % 4: where it is not 0 the second half starts inside a vec4.

struct Params {
  rows: u32,
  channels: u32,
  x_offset: u32,
  y_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;
const SHIFT: u32 = 0u;

// Values D + 4 · c4 and the three after it, of the row at `row`; what is beyond 2 D is of no use.
fn load_gate(row: u32, c4: u32) -> vec4<f32> {
  let low = x[row + params.channels / 4u + c4];
  let x_channels4 = (params.channels + 1u) / 2u;
  let high = x[row + min(params.channels / 4u + c4 + 1u, x_channels4 - 1u)];
  switch (SHIFT) {
    case 1u: { return vec4(low.yzw, high.x); }
    case 2u: { return vec4(low.zw, high.xy); }
    case 3u: { return vec4(low.w, high.xyz); }
    default: { return low; }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let id = (group.y * groups.x + group.x) * WORKGROUP + local;
  let channels4 = (params.channels + 3u) / 4u;
  if (id >= params.rows * channels4) {
    return;
  }
  let c4 = id % channels4;
  let row = params.x_offset + id / channels4 * ((params.channels + 1u) / 2u);
  let v = x[row + c4] * gelu4(load_gate(row, c4));
  let channel = vec4<u32>(0u, 1u, 2u, 3u) + 4u * c4;
  y[params.y_offset + id] = select(vec4<f32>(), v, channel < vec4<u32>(params.channels));
}
