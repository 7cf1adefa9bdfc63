// Concatenation of up to four tensors along channels.
//
//   y[p] = (a[p], b[p], c[p], d[p]) for every position p
//
//   a, b, c, d  [..., their channels]          f32; channels 0 for a part that is missing
//   y           [..., sum of their channels]   f32
// One invocation per vec4 of `count` positions from `begin` on. *_base is the first vec4 bound of a tensor. Channels
// beyond the last are written as 0.

struct Params {
  begin: u32,
  count: u32,
  a_channels: u32,
  b_channels: u32,
  c_channels: u32,
  d_channels: u32,
  a_base: u32,
  b_base: u32,
  c_base: u32,
  d_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> c: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> d: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> params: Params;

// 1 where every part but the last has a multiple of 4 channels: each vec4 is then one part's.
const ALIGNED: u32 = 0u;
const WORKGROUP: u32 = 64u;

// Index within the bound range of the vec4 that holds a channel of a part.
fn part_index(position: u32, channels: u32, channel: u32, base: u32) -> u32 {
  return position * ((channels + 3u) / 4u) + channel / 4u - base;
}

fn load_vec4(position: u32, first: u32) -> vec4<f32> {
  var channel = first;
  if (channel < params.a_channels) {
    return a[part_index(position, params.a_channels, channel, params.a_base)];
  }
  channel -= params.a_channels;
  if (channel < params.b_channels) {
    return b[part_index(position, params.b_channels, channel, params.b_base)];
  }
  channel -= params.b_channels;
  if (channel < params.c_channels) {
    return c[part_index(position, params.c_channels, channel, params.c_base)];
  }
  channel -= params.c_channels;
  return d[part_index(position, params.d_channels, channel, params.d_base)];
}

fn load_channel(position: u32, index: u32) -> f32 {
  var channel = index;
  if (channel < params.a_channels) {
    return a[part_index(position, params.a_channels, channel, params.a_base)][channel % 4u];
  }
  channel -= params.a_channels;
  if (channel < params.b_channels) {
    return b[part_index(position, params.b_channels, channel, params.b_base)][channel % 4u];
  }
  channel -= params.b_channels;
  if (channel < params.c_channels) {
    return c[part_index(position, params.c_channels, channel, params.c_base)][channel % 4u];
  }
  channel -= params.c_channels;
  if (channel < params.d_channels) {
    return d[part_index(position, params.d_channels, channel, params.d_base)][channel % 4u];
  }
  return 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let channels4 = (params.a_channels + params.b_channels + params.c_channels + params.d_channels + 3u) / 4u;
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (i >= params.count * channels4) {
    return;
  }
  let position = params.begin + i / channels4;
  let first = 4u * (i % channels4);
  var v: vec4<f32>;
  if (ALIGNED != 0u) {
    v = load_vec4(position, first);
  } else {
    v = vec4<f32>(
      load_channel(position, first),
      load_channel(position, first + 1u),
      load_channel(position, first + 2u),
      load_channel(position, first + 3u),
    );
  }
  y[params.begin * channels4 + i - params.y_base] = v;
}
