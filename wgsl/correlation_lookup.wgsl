// Correlation look-up of RAFT in one level of its pyramid, as correlation.wgsl has it, where all dot products of the
// level are at hand.
//   volume  [N, height, width, height2 · width2]  f32, as scalars; the last axis padded to volume_stride
//   flow    [N, height, width, 2]                 f32, x then y, in pixels of the first image
//   y       [N, height, width, ...]               f32, as scalars
// One invocation per pixel of the first image, from pixel_begin on (a band); *_base is the first vec4 of flow and the
// first scalar of volume and y that is bound. Channels from (2r + 1)² to channels_written are written as 0.

struct Params {
  pixel_begin: u32,
  pixels: u32,
  height: u32,
  width: u32,
  height2: u32,
  width2: u32,
  level_scale: f32,
  scale: f32,
  y_stride: u32,
  channel_begin: u32,
  channels_written: u32,
  flow_base: u32,
  y_base: u32,
  volume_stride: u32,
  volume_base: u32,
}

@group(0) @binding(0) var<storage, read> volume: array<f32>;
@group(0) @binding(1) var<storage, read> flow: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const RADIUS: u32 = 4u;
const WORKGROUP: u32 = 64u;
const TAPS: u32 = 2u * RADIUS + 1u;
const SIDE: u32 = 2u * RADIUS + 2u;

// The scaled dot product with pixel (x, y) of the level; its products with this pixel begin at `begin`.
fn dot_at(begin: u32, x: i32, y: i32) -> f32 {
  let inside = x >= 0 && x < i32(params.width2) && y >= 0 && y < i32(params.height2);
  let at = select(0, y * i32(params.width2) + x, inside);
  return select(0.0, volume[begin + u32(at)], inside) * params.scale;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let band_pixel = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (band_pixel >= params.pixels) {
    return;
  }
  let pixel = params.pixel_begin + band_pixel;
  let here = vec2<f32>(f32(pixel % params.width), f32(pixel / params.width % params.height));
  let p = (here + flow[pixel - params.flow_base].xy) * params.level_scale;
  let window = window_at(p, vec2<u32>(params.width2, params.height2), RADIUS);
  let fraction = window.fraction;

  let begin = pixel * params.volume_stride - params.volume_base;
  let to = pixel * params.y_stride + params.channel_begin - params.y_base;
  var left: array<f32, SIDE>;
  for (var j = 0u; j < SIDE; j++) { // @unroll
    left[j] = dot_at(begin, window.corner.x, window.corner.y + i32(j));
  }
  for (var i = 0u; i < TAPS; i++) {
    var right: array<f32, SIDE>;
    for (var j = 0u; j < SIDE; j++) { // @unroll
      right[j] = dot_at(begin, window.corner.x + i32(i) + 1, window.corner.y + i32(j));
    }
    for (var j = 0u; j < TAPS; j++) { // @unroll
      let top = mix(left[j], right[j], fraction.x);
      let bottom = mix(left[j + 1u], right[j + 1u], fraction.x);
      y[to + i * TAPS + j] = mix(top, bottom, fraction.y);
    }
    left = right;
  }
  for (var at = to + TAPS * TAPS; at < to + params.channels_written; at++) {
    y[at] = 0.0;
  }
}
