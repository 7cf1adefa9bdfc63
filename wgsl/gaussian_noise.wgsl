// Unit Gaussian noise by counter (lib/philox.wgsl): vec4 i of the tensor comes from counter (i, frame, stream, 0).
//
//   counter  [1, 4]  u32: frame, stream, seed low, seed high
//   y        any shape with `channels` channels, f32
// One invocation per vec4 of the bound range, which starts at vec4 `begin` of the tensor. Channels beyond the last
// are written as 0.

struct Params {
  begin: u32,
  count: u32,
  channels: u32,
}

@group(0) @binding(0) var<storage, read> counter: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

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
  let index = params.begin + i;
  let which = counter[0];
  let noise = gaussian4(vec4<u32>(index, which.xy, 0u), which.zw);
  let channel = vec4<u32>(0u, 1u, 2u, 3u) + 4u * (index % ((params.channels + 3u) / 4u));
  y[i] = select(vec4<f32>(), noise, channel < vec4<u32>(params.channels));
}
