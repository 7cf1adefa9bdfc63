// Backward warp by optical flow, with the paper's half-pixel behaviour: nearest enlargement by F, warp, and back to
// the size of x by picking every F-th pixel, in one exact gather. F = 1 is the plain warp.
//
//   y[n, i, j, c] = sample of the enlarged image at p · size / (size - 1) - 0.5 in x and y, zero outside,
//                   p = F · (j, i) + f[n, i, j], size = F · (W, H)
//
// Pixel (u, v) of the enlarged image is x[n, v / F, u / F, c].
//   x, y  [N, H, W, C]             f32
//   flow  [N, H, ceil(W / 2), 4]   f32, f of two columns: (x, y) in pixels of the enlarged image, finite
// One invocation per vec4 from `begin` up to `end` of y. *_base is the first vec4 bound of a tensor.

struct Params {
  begin: u32,
  end: u32,
  height: u32,
  width: u32,
  channels4: u32,
  factor: u32,
  x_base: u32,
  flow_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> flow: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

// 1 takes the nearest tap (half to even) instead of interpolating between four.
const NEAREST: u32 = 0u;
const WORKGROUP: u32 = 64u;

// The reference normalises by size - 1 but samples as if it had done so by size. A single pixel stays unstretched.
// The clamp keeps far positions within i32; they are outside all the same.
fn sample_position(p: f32, size: u32) -> f32 {
  let stretch = select(0.0, p / f32(size - 1u), size > 1u);
  return clamp(p + (stretch - 0.5), -2.0, f32(size) + 1.0);
}

fn load_tap(image: u32, u: i32, v: i32, c4: u32) -> vec4<f32> {
  let height = i32(params.factor * params.height);
  let width = i32(params.factor * params.width);
  if (u < 0 || u >= width || v < 0 || v >= height) {
    return vec4<f32>();
  }
  let pixel = (image * params.height + u32(v) / params.factor) * params.width + u32(u) / params.factor;
  return x[pixel * params.channels4 + c4 - params.x_base];
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let index = params.begin + (group.y * groups.x + group.x) * WORKGROUP + local;
  if (index >= params.end) {
    return;
  }
  let pixel = index / params.channels4;
  let c4 = index % params.channels4;
  let row = pixel / params.width;
  let image = row / params.height;
  let column = pixel % params.width;
  let origin = vec2<f32>(params.factor * vec2<u32>(column, row % params.height));
  let p = origin + flow[2u * (row * ((params.width + 1u) / 2u) - params.flow_base) + column];
  let sx = sample_position(p.x, params.factor * params.width);
  let sy = sample_position(p.y, params.factor * params.height);
  if (NEAREST != 0u) {
    y[index - params.y_base] = load_tap(image, i32(round(sx)), i32(round(sy)), c4);
    return;
  }
  let u = i32(floor(sx));
  let v = i32(floor(sy));
  let a = sx - floor(sx);
  let b = sy - floor(sy);
  let top = (1.0 - a) * load_tap(image, u, v, c4) + a * load_tap(image, u + 1, v, c4);
  let bottom = (1.0 - a) * load_tap(image, u, v + 1, c4) + a * load_tap(image, u + 1, v + 1, c4);
  y[index - params.y_base] = (1.0 - b) * top + b * bottom;
}
