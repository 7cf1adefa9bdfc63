// An operand of a matrix product, made in a buffer. The shader says which binding it is: OPERAND.
@group(0) @binding(OPERAND) var<storage, read_write> operand: array<vec4<f32>>;

fn store_operand(i: u32, value: vec4<f32>) {
  operand[i] = value;
}
