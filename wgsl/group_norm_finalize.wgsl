// Normalisation, pass 2 of 3: combines chunks and the channels of a group.
//
//   moments  [N, chunks, 2, C]  f32, from group_norm_stats; all bindings are addressed by single channels
//   weight   [C]                f32
//   stats    [N, 2, C]          f32; row 0 mean, row 1 weight / sqrt(variance + eps), biased variance of the group
// One workgroup per image (y) and group of C / groups channels (x). The last group also zeroes the padding channels.
// No loop limit and no branch depends on uniforms alone: for such shaders lavapipe (Mesa 22.3) inserts the uniforms'
// values and translates anew at every dispatch, which takes a millisecond.

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

const LANES: u32 = 32u;

var<workgroup> sums: array<f32, LANES>;

fn sum_over_lanes(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  sums[lane] = value;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < LANES; i++) { // @unroll
    total += sums[i];
  }
  return total;
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
  for (var chunk = first_chunk + lane; chunk < end_chunk; chunk += LANES) {
    let count = f32(min(params.chunk_pixels, params.pixels - (chunk - first_chunk) * params.chunk_pixels));
    let at = chunk * 2u * stride;
    for (var c = first; c < end; c++) {
      sum += count * (moments[at + c] - pivot);
    }
  }
  let mean = pivot + sum_over_lanes(sum, lane) / size;

  var m2 = 0.0;
  for (var chunk = first_chunk + lane; chunk < end_chunk; chunk += LANES) {
    let count = f32(min(params.chunk_pixels, params.pixels - (chunk - first_chunk) * params.chunk_pixels));
    let at = chunk * 2u * stride;
    for (var c = first; c < end; c++) {
      let deviation = moments[at + c] - mean;
      m2 += moments[at + stride + c] + count * deviation * deviation;
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
