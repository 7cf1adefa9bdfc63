// Weights stored as f32.
alias Weight = vec4<f32>;

fn unpack_weight(w: Weight) -> vec4<f32> {
  return w;
}
