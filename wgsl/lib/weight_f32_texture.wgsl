// Weights stored as f32 in a texture, 512 vec4s to a row (gpu/tensor.ts). The shader says which binding they are: WEIGHT.
@group(0) @binding(WEIGHT) var weight: texture_storage_2d<rgba32float, read>;

fn load_weight(i: u32) -> vec4<f32> {
  return textureLoad(weight, vec2<u32>(i % 512u, i / 512u));
}
