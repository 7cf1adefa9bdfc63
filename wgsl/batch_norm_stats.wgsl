// Statistics of a batch normalisation that were stored with the model, in the form that norm_apply reads.
//
//   mean, variance, weight  [C]     f32
//   stats                   [2, C]  f32; row 0 mean, row 1 weight / sqrt(variance + eps)
// One invocation per 4 channels.

struct Params {
  channels4: u32,
  has_weight: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> mean: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> variance: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> stats: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let c4 = id.x;
  if (c4 >= params.channels4) {
    return;
  }
  var scale = 1.0 / sqrt(variance[c4] + params.eps);
  if (params.has_weight != 0u) {
    scale *= weight[c4];
  }
  stats[c4] = mean[c4];
  stats[params.channels4 + c4] = scale;
}
