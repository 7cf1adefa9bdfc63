// Normalisation, pass 3 of 3: y = activation((x - mean) · scale + bias). Not x · scale + shift, which loses digits where
// the mean is large.
//
//   x      [N, P, C]             f32, P pixels
//   stats  [N or 1, 2, y C]      f32; row 0 mean, row 1 scale; stats_stride4 is 0 where one row pair serves all images
//   bias   [y C]                 f32
//   y      [N, P, y C]           f32; the channels from 4 · channel4_begin on are written, the padding as 0
// One invocation per 4 channels of RUN pixels, `runs` apart, so that neighbours always touch neighbouring vec4s; images
// along z. A dispatch computes `pixels` pixels from pixel_begin on of the images from batch_begin on (a band). *_base
// is the first vec4 that is bound.

struct Params {
  batch_begin: u32,
  pixel_begin: u32,
  pixels: u32,
  runs: u32,
  image_pixels: u32,
  channels4: u32,
  channel4_begin: u32,
  y_channels: u32,
  stats_stride4: u32,
  has_bias: u32,
  x_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

// One of the numbers in activation.wgsl.
const ACTIVATION: u32 = 0u;
const WORKGROUP: u32 = 64u;
const RUN: u32 = 4u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let id = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (id >= params.runs * params.channels4) {
    return;
  }
  let n = params.batch_begin + group.z;
  let c4 = id % params.channels4;
  let pixel = id / params.channels4;
  let y_channels4 = (params.y_channels + 3u) / 4u;
  let y_c4 = params.channel4_begin + c4;

  let row = n * params.stats_stride4 + y_c4;
  let mean = stats[row];
  let scale = stats[row + y_channels4];
  var shift = vec4<f32>();
  if (params.has_bias != 0u) {
    shift = bias[y_c4];
  }
  let channel = vec4<u32>(0u, 1u, 2u, 3u) + 4u * y_c4;
  let inside = channel < vec4<u32>(params.y_channels);
  let image = n * params.image_pixels + params.pixel_begin;
  for (var i = 0u; i < RUN; i++) { // @unroll
    let p = pixel + i * params.runs;
    if (p < params.pixels) {
      let v = activate((x[(image + p) * params.channels4 + c4 - params.x_base] - mean) * scale + shift, ACTIVATION);
      y[(image + p) * y_channels4 + y_c4 - params.y_base] = select(vec4<f32>(), v, inside);
    }
  }
}
