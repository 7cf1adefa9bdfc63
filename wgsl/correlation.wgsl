// Correlation look-up of RAFT in one level of its pyramid, without the volume of all pairs. With r = RADIUS,
// p = ((x, y) + flow[n, y, x]) · level_scale and offsets i, j from -r to r:
//   y[n, y, x, channel_begin + (i + r) · (2r + 1) + j + r] = scale · bilinear look-up at p + (i, j) of the map
//   dot(f1[n, y, x, :], f2[n, :, :, :]), zero outside
// All offsets share p's fraction: the (2r + 2)² dot products around floor(p) are computed once, then mixed. With
// LANES_C = 1 a dot product is summed as gemm_subgroup.wgsl does, so that correlation_lookup.wgsl gives the same bytes.
//   f1     [N, height, width, C]    f32
//   f2     [N, height2, width2, C]  f32
//   flow   [N, height, width, 2]    f32, x then y, in pixels of f1
//   y      [N, height, width, ...]  f32, as scalars: the channels of a level start anywhere
// One workgroup per pixel of f1, from pixel_begin on (a band); *_base is the first vec4 bound of a tensor that is
// bound in part (of y: the first scalar). LANES_C lanes share a dot product; LANES_P positions are computed side by
// side, and TP by each lane with one load of f1. Channels from (2r + 1)² to channels_written, the padding behind the
// last level, are written as 0.

struct Params {
  pixel_begin: u32,
  pixels: u32,
  height: u32,
  width: u32,
  height2: u32,
  width2: u32,
  level_scale: f32,
  scale: f32,
  y_stride: u32,
  channel_begin: u32,
  channels_written: u32,
  flow_base: u32,
  y_base: u32,
  channels4: u32,
  f1_base: u32,
}

@group(0) @binding(0) var<storage, read> f1: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> f2: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> flow: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const RADIUS: u32 = 4u;
const LANES_C: u32 = 8u;
const LANES_P: u32 = 8u;
const WORKGROUP: u32 = LANES_C * LANES_P;
const TAPS: u32 = 2u * RADIUS + 1u;
const SIDE: u32 = 2u * RADIUS + 2u;
const POSITIONS: u32 = SIDE * SIDE;
// Positions per lane, in turns of equal size that do not spill registers.
const PER_LANE: u32 = (POSITIONS + LANES_P - 1u) / LANES_P;
const TURNS: u32 = (PER_LANE + 15u) / 16u;
const TP: u32 = (PER_LANE + TURNS - 1u) / TURNS;
// Sums are taken over blocks of channels and added up.
const BLOCK4: u32 = 16u;

var<workgroup> partial_dots: array<f32, POSITIONS * LANES_C>;
var<workgroup> dots: array<f32, POSITIONS>;

// Index of the first vec4 of f2 at position q (row by row) of the window that begins at `corner`, or -1 outside.
fn f2_index(n: u32, corner: vec2<i32>, q: u32) -> i32 {
  let at = corner + vec2<i32>(i32(q % SIDE), i32(q / SIDE));
  let inside = q < POSITIONS && at.x >= 0 && at.x < i32(params.width2) && at.y >= 0 && at.y < i32(params.height2);
  let pixel = (i32(n * params.height2) + at.y) * i32(params.width2) + at.x;
  return select(-1, pixel * i32(params.channels4), inside);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let band_pixel = group.y * groups.x + group.x;
  if (band_pixel >= params.pixels) {
    return;
  }
  let pixel = params.pixel_begin + band_pixel;
  let n = pixel / (params.height * params.width);
  let here = vec2<f32>(f32(pixel % params.width), f32(pixel / params.width % params.height));
  let p = (here + flow[pixel - params.flow_base].xy) * params.level_scale;
  let window = window_at(p, vec2<u32>(params.width2, params.height2), RADIUS);
  let fraction = window.fraction;

  let lane_c = local % LANES_C;
  let f1_at = pixel * params.channels4 - params.f1_base;
  for (var first = local / LANES_C; first < POSITIONS; first += LANES_P * TP) {
    var at: array<i32, TP>;
    var total = array<f32, TP>(); // spelt out: naga clears a plain declaration once, not in each turn
    for (var t = 0u; t < TP; t++) { // @unroll
      at[t] = f2_index(n, window.corner, first + t * LANES_P);
    }
    for (var begin = 0u; begin < params.channels4; begin += BLOCK4) {
      var sum = array<f32, TP>();
      for (var c = begin + lane_c; c < min(begin + BLOCK4, params.channels4); c += LANES_C) {
        let a = f1[f1_at + c];
        for (var t = 0u; t < TP; t++) { // @unroll
          let b = f2[u32(max(at[t], 0)) + c];
          sum[t] = sum[t] + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
        }
      }
      for (var t = 0u; t < TP; t++) { // @unroll
        total[t] += sum[t];
      }
    }
    for (var t = 0u; t < TP; t++) { // @unroll
      if (first + t * LANES_P < POSITIONS) {
        partial_dots[(first + t * LANES_P) * LANES_C + lane_c] = select(0.0, total[t], at[t] >= 0);
      }
    }
  }
  workgroupBarrier();
  for (var q = local; q < POSITIONS; q += WORKGROUP) {
    var sum = 0.0;
    for (var c = 0u; c < LANES_C; c++) { // @unroll
      sum += partial_dots[q * LANES_C + c];
    }
    dots[q] = sum * params.scale;
  }
  workgroupBarrier();
  for (var t = local; t < params.channels_written; t += WORKGROUP) {
    var value = 0.0;
    if (t < TAPS * TAPS) {
      let q = t % TAPS * SIDE + t / TAPS;
      let top = mix(dots[q], dots[q + 1u], fraction.x);
      let bottom = mix(dots[q + SIDE], dots[q + SIDE + 1u], fraction.x);
      value = mix(top, bottom, fraction.y);
    }
    y[pixel * params.y_stride + params.channel_begin + t - params.y_base] = value;
  }
}
