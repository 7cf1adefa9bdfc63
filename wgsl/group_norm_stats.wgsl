// Normalisation, pass 1 of 3: mean and sum of squared deviations of every channel over chunks of pixels.
//
//   x        [N, P, C]                  f32, P pixels
//   moments  [N, chunks, 2, moments C]  f32; row 0 mean, row 1 sum of (x - mean)²
// One invocation per image, chunk and 4 channels; channels vary fastest, images along z. A dispatch computes `chunks`
// chunks from chunk_begin on of the images from batch_begin on (a band) and fills the channels of `moments` from
// 4 · channel4_begin on. x_base is the first vec4 of x that is bound.

struct Params {
  batch_begin: u32,
  chunk_begin: u32,
  chunks: u32,
  all_chunks: u32,
  chunk_pixels: u32,
  pixels: u32,
  channels4: u32,
  channel4_begin: u32,
  moments_channels4: u32,
  x_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> moments: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;
// Pixels held in registers at once.
const BLOCK: u32 = 8u;

struct Moments {
  count: f32,
  mean: vec4<f32>,
  m2: vec4<f32>,
}

// Moments of the union of two sets of pixels (Chan, Golub, LeVeque 1979).
fn merge(a: Moments, b: Moments) -> Moments {
  let count = a.count + b.count;
  let delta = b.mean - a.mean;
  let share = b.count / count;
  return Moments(count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * (a.count * share));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let id = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (id >= params.chunks * params.channels4) {
    return;
  }
  let n = params.batch_begin + group.z;
  let c4 = id % params.channels4;
  let chunk = params.chunk_begin + id / params.channels4;
  let first = chunk * params.chunk_pixels;
  let count = min(params.chunk_pixels, params.pixels - first);
  var at = (n * params.pixels + first) * params.channels4 + c4 - params.x_base;

  var total = Moments();
  for (var block = 0u; block < count / BLOCK; block++) {
    var v: array<vec4<f32>, BLOCK>;
    var mean = vec4<f32>();
    for (var i = 0u; i < BLOCK; i++) { // @unroll
      v[i] = x[at + i * params.channels4];
      mean += v[i];
    }
    mean /= f32(BLOCK);
    var m2 = vec4<f32>();
    for (var i = 0u; i < BLOCK; i++) { // @unroll
      m2 += (v[i] - mean) * (v[i] - mean);
    }
    total = merge(total, Moments(f32(BLOCK), mean, m2));
    at += BLOCK * params.channels4;
  }
  for (var i = 0u; i < count % BLOCK; i++) {
    total = merge(total, Moments(1.0, x[at], vec4<f32>()));
    at += params.channels4;
  }
  let to = (n * params.all_chunks + chunk) * 2u * params.moments_channels4 + params.channel4_begin + c4;
  moments[to] = total.mean;
  moments[to + params.moments_channels4] = total.m2;
}
