// Flow at 1/8 of the resolution to full resolution, in full-size pixels; only every `step`-th row and column is made.
// For the full-size pixel (Y, X) = step · (i, j), f being the flow made:
//   with a mask  f[n, i, j] = sum over k of softmax(mask[n, Y/8, X/8, 64k + 8 (Y % 8) + X % 8] over k) · 8 flow[k-th
//                of the 3×3 neighbours of (Y/8, X/8), row by row, zero outside]
//   without      f[n, i, j] = 8 flow at (Y (h - 1) / (8h - 1), X (w - 1) / (8w - 1)), bilinear
//   y[n, i, j'] = (f[n, i, 2j'], f[n, i, 2j' + 1]), zero beyond the last column
//   flow  [N, h, w, 2]                              f32
//   mask  [N, h, w, 576]                            f32, as scalars
//   y     [N, out_height, ceil(out_width / 2), 4]   f32
// One invocation per vec4 of y in `rows` rows from row_begin of `batch` images from batch_begin on (a band);
// *_base is the first vec4 bound of a tensor that is bound in part, mask_base its first scalar.

struct Params {
  batch_begin: u32,
  batch: u32,
  row_begin: u32,
  rows: u32,
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
  step: u32,
  has_mask: u32,
  mask_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> flow: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

const WORKGROUP: u32 = 64u;

// 8 · flow of image n, zero outside.
fn load_flow(n: u32, row: i32, column: i32) -> vec2<f32> {
  let inside = row >= 0 && row < i32(params.height) && column >= 0 && column < i32(params.width);
  let index = (n * params.height + u32(max(row, 0))) * params.width + u32(max(column, 0));
  return select(vec2<f32>(), 8.0 * flow[select(0u, index, inside)].xy, inside);
}

fn convex(n: u32, at: vec2<u32>) -> vec2<f32> {
  let coarse = at / 8u;
  let pixel = (n * params.height + coarse.y) * params.width + coarse.x;
  let first = pixel * 576u + 8u * (at.y % 8u) + at.x % 8u - params.mask_base;
  var logits: array<f32, 9>;
  var largest = mask[first];
  for (var k = 0u; k < 9u; k++) { // @unroll
    logits[k] = mask[first + 64u * k];
    largest = max(largest, logits[k]);
  }
  var sum = vec2<f32>();
  var total = 0.0;
  for (var k = 0u; k < 9u; k++) { // @unroll
    let weight = exp(logits[k] - largest);
    total += weight;
    sum += weight * load_flow(n, i32(coarse.y + k / 3u) - 1, i32(coarse.x + k % 3u) - 1);
  }
  return sum / total;
}

fn bilinear(n: u32, at: vec2<u32>) -> vec2<f32> {
  let size = vec2<u32>(params.width, params.height);
  // Whole and fraction of at · (size - 1) / (8 · size - 1), without a rounding before the fraction.
  let scaled = at * (size - 1u);
  let divisor = 8u * size - 1u;
  let fraction = vec2<f32>(scaled % divisor) / vec2<f32>(divisor);
  let first = vec2<i32>(scaled / divisor);
  let last = min(first + 1, vec2<i32>(size) - 1);
  let top = mix(load_flow(n, first.y, first.x), load_flow(n, first.y, last.x), fraction.x);
  let bottom = mix(load_flow(n, last.y, first.x), load_flow(n, last.y, last.x), fraction.x);
  return mix(top, bottom, fraction.y);
}

fn enlarged(n: u32, row: u32, column: u32) -> vec2<f32> {
  let at = params.step * vec2<u32>(column, row);
  if (params.has_mask != 0u) {
    return convex(n, at);
  }
  return bilinear(n, at);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * WORKGROUP + local;
  let pairs = (params.out_width + 1u) / 2u;
  let per_image = params.rows * pairs;
  if (index >= params.batch * per_image) {
    return;
  }
  let n = params.batch_begin + index / per_image;
  let row = params.row_begin + index % per_image / pairs;
  let pair = index % pairs;
  var value = vec4<f32>(enlarged(n, row, 2u * pair), 0.0, 0.0);
  if (2u * pair + 1u < params.out_width) {
    value = vec4<f32>(value.xy, enlarged(n, row, 2u * pair + 1u));
  }
  y[(n * params.out_height + row) * pairs + pair - params.y_base] = value;
}
