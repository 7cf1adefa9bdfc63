// Winograd filters stored as f16, packed in pairs.
alias Filter = vec2<u32>;

fn pack_filter(v: vec4<f32>) -> Filter {
  return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}
