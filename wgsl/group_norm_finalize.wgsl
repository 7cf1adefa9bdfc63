// Normalisation, pass 2 of 3: combines chunks and the channels of a group.
//
//   moments  [N, chunks, 2, C]  f32, from group_norm_stats; all bindings are addressed by single channels
//   weight   [C]                f32
//   stats    [N, 2, C]          f32; row 0 mean, row 1 weight / sqrt(variance + eps), biased variance of the group
// One workgroup per image (y) and group of C / groups channels (x): LANES_C lanes side by side on channels, the others
// on chunks, sums in a tree. The last group also zeroes the padding channels.
// No branch or loop depends on uniforms alone: Mesa 22.3's lavapipe would insert their values and translate the shader
// anew at every dispatch, which takes a millisecond.

struct Params {
  chunks: u32,
  chunk_pixels: u32,
  pixels: u32,
  channels: u32,
  group_channels: u32,
  has_weight: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> moments: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const LANES: u32 = 64u;
const LANES_C: u32 = 4u;

var<workgroup> sums: array<f32, LANES>;

fn sum_over_lanes(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  sums[lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      sums[lane] += sums[lane + half];
    }
    workgroupBarrier();
  }
  return sums[0];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group.y;
  let stride = (params.channels + 3u) / 4u * 4u;
  let first = group.x * params.group_channels;
  let end = first + params.group_channels;
  let first_chunk = n * params.chunks;
  let end_chunk = first_chunk + params.chunks;
  let size = f32(params.pixels) * f32(params.group_channels);

  // Means are added as differences from one of them, so that a large common offset costs no digits.
  let pivot = moments[first_chunk * 2u * stride + first];
  var sum = 0.0;
  for (var chunk = first_chunk + lane / LANES_C; chunk < end_chunk; chunk += LANES / LANES_C) {
    let count = f32(min(params.chunk_pixels, params.pixels - (chunk - first_chunk) * params.chunk_pixels));
    for (var c = first + lane % LANES_C; c < end; c += LANES_C) {
      sum += count * (moments[chunk * 2u * stride + c] - pivot);
    }
  }
  let mean = pivot + sum_over_lanes(sum, lane) / size;

  var m2 = 0.0;
  for (var chunk = first_chunk + lane / LANES_C; chunk < end_chunk; chunk += LANES / LANES_C) {
    let count = f32(min(params.chunk_pixels, params.pixels - (chunk - first_chunk) * params.chunk_pixels));
    for (var c = first + lane % LANES_C; c < end; c += LANES_C) {
      let deviation = moments[chunk * 2u * stride + c] - mean;
      m2 += moments[(chunk * 2u + 1u) * stride + c] + count * deviation * deviation;
    }
  }
  let rstd = 1.0 / sqrt(sum_over_lanes(m2, lane) / size + params.eps);

  let to = n * 2u * stride;
  for (var c = first + lane; c < end; c += LANES) {
    stats[to + c] = mean;
    stats[to + stride + c] = rstd * select(1.0, weight[c], params.has_weight != 0u);
  }
  if (end == params.channels && lane < stride - params.channels) {
    stats[to + params.channels + lane] = 0.0;
    stats[to + stride + params.channels + lane] = 0.0;
  }
}
