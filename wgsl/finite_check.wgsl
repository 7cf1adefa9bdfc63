// Count of non-finite values, and minimum, maximum and mean of the finite ones, in two stages: stage 0 reduces fixed
// chunks of x to partial statistics, stage 1 all of these to the result. The order of sums never depends on the GPU.
//
//   x  stage 0: any shape with `channels` channels, f32 taken as bits; stage 1: [G, 4] from stage 0
//   y  [G, 4] or [1, 4]  f32: (count, minimum, maximum, sum; in stage 1 mean)
// One workgroup per `per_group` vec4s of the bound range; it writes y[group_begin + its number]. `total` is the number
// of values of the whole tensor.

struct Params {
  count: u32,
  per_group: u32,
  group_begin: u32,
  begin: u32,
  channels: u32,
  total: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const STAGE: u32 = 0u;
const WORKGROUP: u32 = 64u;
const LARGEST: f32 = 3.4028235e38;
const NOTHING = vec4<f32>(0.0, LARGEST, -LARGEST, 0.0);
// All ones in infinities and NaN. Float comparisons will not do: compilers may assume that there is no NaN.
const EXPONENT: u32 = 0x7f800000u;

var<workgroup> statistics: array<vec4<f32>, WORKGROUP>;

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(a.x + b.x, min(a.y, b.y), max(a.z, b.z), a.w + b.w);
}

fn load_statistics(i: u32) -> vec4<f32> {
  let bits = x[i];
  if (STAGE != 0u) {
    return bitcast<vec4<f32>>(bits);
  }
  let channel = vec4<u32>(0u, 1u, 2u, 3u) + 4u * ((params.begin + i) % ((params.channels + 3u) / 4u));
  let inside = channel < vec4<u32>(params.channels);
  let finite = (bits & vec4<u32>(EXPONENT)) != vec4<u32>(EXPONENT);
  let good = inside & finite;
  let bad = select(vec4<f32>(), vec4<f32>(1.0), inside & !finite);
  let v = bitcast<vec4<f32>>(select(vec4<u32>(), bits, good));
  let low = select(vec4<f32>(LARGEST), v, good);
  let high = select(vec4<f32>(-LARGEST), v, good);
  return vec4<f32>(
    bad.x + bad.y + bad.z + bad.w,
    min(min(low.x, low.y), min(low.z, low.w)),
    max(max(high.x, high.y), max(high.z, high.w)),
    v.x + v.y + v.z + v.w,
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let group = workgroup.y * workgroups.x + workgroup.x;
  let end = min((group + 1u) * params.per_group, params.count);
  var sum = NOTHING;
  for (var i = group * params.per_group + local; i < end; i += WORKGROUP) {
    sum = combine(sum, load_statistics(i));
  }
  statistics[local] = sum;
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) {
      statistics[local] = combine(statistics[local], statistics[local + half]);
    }
  }
  if (local == 0u && group * params.per_group < params.count) {
    var result = statistics[0];
    if (STAGE != 0u) {
      result.w /= max(params.total - result.x, 1.0);
    }
    y[params.group_begin + group] = result;
  }
}
