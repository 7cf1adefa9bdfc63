// Weights stored as f32 in a buffer. The shader says which binding they are: WEIGHT.
@group(0) @binding(WEIGHT) var<storage, read> weight: array<vec4<f32>>;

fn load_weight(i: u32) -> vec4<f32> {
  return weight[i];
}
