// Weights stored as f16, packed in pairs; computed with in f32.
alias Weight = vec2<u32>;

fn unpack_weight(w: Weight) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
