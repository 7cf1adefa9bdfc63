// Floats in [-1, 1] to packed integer pixels.
//
//   sample = round(clamp(x[pixel, c] / 2 + 1/2, 0, 1) · levels), half to even, levels = 2^BITS - 1
//
//   x       [1, h, w, 3]  f32
//   packed  RGB interleaved samples of BITS bits, little-endian in u32 words, 32 / BITS of them per word
// One invocation per word, so that no two write the same one; words from `begin` up to `end`, of which samples beyond
// `samples` are 0. x_base is the first pixel bound, packed_base the first vec4 bound of `packed`.

struct Params {
  begin: u32,
  end: u32,
  samples: u32,
  x_base: u32,
  packed_base: u32,
}

// Scalars, since the samples of a word straddle pixels: channel c of a pixel is at 4 · pixel + c.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const BITS: u32 = 8u;
const WORKGROUP: u32 = 64u;
const PER_WORD: u32 = 32u / BITS;
const LEVELS: u32 = (1u << BITS) - 1u;

fn load_sample(index: u32) -> u32 {
  if (index >= params.samples) {
    return 0u;
  }
  let v = x[4u * (index / 3u - params.x_base) + index % 3u];
  return u32(round(clamp(0.5 * v + 0.5, 0.0, 1.0) * f32(LEVELS)));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let word = params.begin + (group.y * groups.x + group.x) * WORKGROUP + local;
  if (word >= params.end) {
    return;
  }
  var bits = 0u;
  for (var k = 0u; k < PER_WORD; k++) { // @unroll
    bits |= load_sample(word * PER_WORD + k) << (k * BITS);
  }
  packed[word - 4u * params.packed_base] = bits;
}
