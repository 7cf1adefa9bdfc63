// Counts checked units of work up to the first that held values which are not finite, and keeps how many it held.
//
//   check  [1, 4]  f32: x is the number of values of a unit that are not finite, from finite_check
//   state  [1, 4]  f32, updated: (units before the first bad one, bad values of that one, 0, 0)
// One invocation.

@group(0) @binding(0) var<storage, read> check: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> state: array<vec4<f32>>;

@compute @workgroup_size(1)
fn main() {
  if (state[0].y == 0.0) {
    if (check[0].x == 0.0) {
      state[0].x += 1.0;
    } else {
      state[0].y = check[0].x;
    }
  }
}
