// Normalisation, pass 2 of 3: combines chunks and the channels of a group.
//
//   moments  [N, chunks, 2, C]  f32, from group_norm_stats; all bindings are addressed by single channels
//   weight   [C]                f32
//   stats    [N, 2, C]          f32; row 0 mean, row 1 weight / sqrt(variance + eps), biased variance of the group
// One workgroup per image (y) and group of C / groups channels (x); its lanes share the pairs of chunk and channel and
// add up in a tree, always in the same order. The last group also zeroes the padding channels.

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

// Pixels of a chunk.
fn chunk_size(chunk: u32) -> f32 {
  return f32(min(params.chunk_pixels, params.pixels - chunk * params.chunk_pixels));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group.y;
  let stride = (params.channels + 3u) / 4u * 4u;
  let first = group.x * params.group_channels;
  let image = n * params.chunks * 2u * stride + first;
  let size = f32(params.pixels) * f32(params.group_channels);
  // One loop over pairs, not a loop over channels in one over chunks: Mesa's lavapipe (22.3) compiles a shader anew at
  // every dispatch, 1 ms, where it can unroll a loop up to a uniform.
  let pairs = params.chunks * params.group_channels;

  // Means are added as differences from one of them, so that a large common offset costs no digits.
  let pivot = moments[image];
  var sum = 0.0;
  for (var pair = lane; pair < pairs; pair += LANES) {
    let chunk = pair / params.group_channels;
    let at = image + chunk * 2u * stride + pair % params.group_channels;
    sum += chunk_size(chunk) * (moments[at] - pivot);
  }
  let mean = pivot + sum_over_lanes(sum, lane) / size;

  var m2 = 0.0;
  for (var pair = lane; pair < pairs; pair += LANES) {
    let chunk = pair / params.group_channels;
    let at = image + chunk * 2u * stride + pair % params.group_channels;
    let deviation = moments[at] - mean;
    m2 += moments[at + stride] + chunk_size(chunk) * deviation * deviation;
  }
  let rstd = 1.0 / sqrt(sum_over_lanes(m2, lane) / size + params.eps);

  let to = n * 2u * stride;
  for (var c = first + lane; c < first + params.group_channels; c += LANES) {
    stats[to + c] = mean;
    if (params.has_weight != 0u) {
      stats[to + stride + c] = rstd * weight[c];
    } else {
      stats[to + stride + c] = rstd;
    }
  }
  if (first + params.group_channels == params.channels && lane < stride - params.channels) {
    stats[to + params.channels + lane] = 0.0;
    stats[to + stride + params.channels + lane] = 0.0;
  }
}
