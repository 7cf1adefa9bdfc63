// An operand of a matrix product, made in a texture, 512 vec4s to a row (gpu/tensor.ts). The shader says which binding it
// is: OPERAND.
@group(0) @binding(OPERAND) var operand: texture_storage_2d<rgba32float, write>;

fn store_operand(i: u32, value: vec4<f32>) {
  textureStore(operand, vec2<u32>(i % 512u, i / 512u), value);
}
