// Ceiling of memory traffic: y = x.
//   x, y  [count]  vec4<f32>, count a multiple of WORKGROUP · RUN
// One invocation per RUN vec4s, neighbouring invocations on neighbouring vec4s.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

const RUN: u32 = 4u;
const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let first = group.x * WORKGROUP * RUN + local;
  for (var i = 0u; i < RUN; i++) { // @unroll
    y[first + i * WORKGROUP] = x[first + i * WORKGROUP];
  }
}
