// Ceiling of arithmetic: chains of multiply-adds in registers, no memory in the loop.
//   x  [2]            vec4<f32>, factor and addend
//   y  [invocations]  vec4<f32>, sum of the chains, so that none of them can be left out
// One invocation per vec4 of y runs CHAINS independent chains of PASSES · STEPS multiply-adds.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

const CHAINS: u32 = 8u;
const STEPS: u32 = 8u;
const PASSES: u32 = 32u;
const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let factor = x[0];
  let addend = x[1];
  var chain: array<vec4<f32>, CHAINS>;
  for (var i = 0u; i < CHAINS; i++) { // @unroll
    chain[i] = vec4<f32>(f32(i));
  }
  for (var n = 0u; n < PASSES; n++) {
    for (var s = 0u; s < STEPS; s++) { // @unroll
      for (var i = 0u; i < CHAINS; i++) { // @unroll
        chain[i] = chain[i] * factor + addend;
      }
    }
  }
  var sum = vec4<f32>();
  for (var i = 0u; i < CHAINS; i++) { // @unroll
    sum += chain[i];
  }
  y[id.x] = sum;
}
