// Winograd filters stored as f32.
alias Filter = vec4<f32>;

fn pack_filter(v: vec4<f32>) -> Filter {
  return v;
}
