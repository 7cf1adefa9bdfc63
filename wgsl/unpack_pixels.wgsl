// Packed integer pixels to floats in [-1, 1].
//
//   y[pixel, c] = sample / (levels / 2) - 1, levels = 2^BITS - 1
//
//   packed  RGB interleaved samples of BITS bits, little-endian in u32 words, 32 / BITS of them per word
//   y       [1, h, w, 3]  f32
// One invocation per pixel of the bound range. packed_base is the first vec4 bound of `packed`, `begin` the first
// pixel of the range.

struct Params {
  begin: u32,
  count: u32,
  packed_base: u32,
}

@group(0) @binding(0) var<storage, read> packed: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const BITS: u32 = 8u;
const WORKGROUP: u32 = 64u;
const PER_WORD: u32 = 32u / BITS;
const LEVELS: u32 = (1u << BITS) - 1u;

fn load_sample(index: u32) -> f32 {
  let word = packed[index / PER_WORD - 4u * params.packed_base];
  let sample = (word >> (index % PER_WORD * BITS)) & LEVELS;
  return f32(sample) / (0.5 * f32(LEVELS)) - 1.0;
}

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
  let first = 3u * (params.begin + i);
  y[i] = vec4<f32>(load_sample(first), load_sample(first + 1u), load_sample(first + 2u), 0.0);
}
