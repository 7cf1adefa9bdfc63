// Weights stored as f16 in a texture, packed in pairs, 512 vec4s to a row (gpu/tensor.ts); computed with in f32. The
// shader says which binding they are: WEIGHT.
@group(0) @binding(WEIGHT) var weight: texture_storage_2d<rg32uint, read>;

fn load_weight(i: u32) -> vec4<f32> {
  let w = textureLoad(weight, vec2<u32>(i % 512u, i / 512u));
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
