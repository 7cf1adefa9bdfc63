// Weights stored as f16 in a buffer, packed in pairs; computed with in f32. The shader says which binding they are: WEIGHT.
@group(0) @binding(WEIGHT) var<storage, read> weight: array<vec2<u32>>;

fn load_weight(i: u32) -> vec4<f32> {
  let w = weight[i];
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
