// One sampling step of a diffusion scheduler:
//
//   clean    = clamp(k[0] · z + k[1] · output, -k[2], k[2])
//   previous = k[3] · clean + k[4] · z + k[5] · output + k[6] · noise
//
//   z, output, noise, previous, clean  one shape, f32
//   coefficients                       [1, 8] k, f32
// One invocation per vec4 of the bound range. NaN passes the clamp. Zero padding channels stay zero.

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> output: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> noise: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> previous: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> clean: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + local;
  if (i >= params.count) {
    return;
  }
  let to_clean = coefficients[0];
  let to_previous = coefficients[1];
  let limit = vec4<f32>(to_clean.z);
  let estimate = to_clean.x * z[i] + to_clean.y * output[i];
  let clipped = select(estimate, sign(estimate) * limit, abs(estimate) > limit);
  clean[i] = clipped;
  previous[i] = to_clean.w * clipped + to_previous.x * z[i] + to_previous.y * output[i] + to_previous.z * noise[i];
}
