// Bindings, addressing and epilogue of the 2-D convolutions; the tile loops are in conv2d.wgsl (workgroup memory),
// conv2d_subgroup.wgsl (subgroup broadcasts), and for few channels in conv2d_direct.wgsl and
// conv2d_direct_subgroup.wgsl. A linear layer is the 1×1 convolution of a [N, 1, L, C] tensor.
//
//   y[n, oy, ox, o] = activation(sum over ky, kx, c of x[n, iy, ix, c] · weight[ky, kx, c, o] + bias[o] + channel_add[n, o])
//                     · scale + residual[n, oy, ox, o],    iy = oy · stride + ky - pad_top, zero outside
//
//   x            [N, src_height, src_width, C]  f32; read as if resized (nearest) to in_height × in_width
//   weight       [KH · KW, C padded to 4, O / 4] vec4 along O, f32 or packed f16, as one matrix of O columns in panels of
//                                               panel4 (lib/panels.wgsl)
//   bias         [O]                            f32
//   channel_add  [N, O]                         f32, or [1, O] with add_stride4 0
//   residual, y  [N, out_height, out_width, O]  f32; has_residual 2 adds it before the activation instead
// One dispatch computes `rows` output rows from row_begin of `batch` images from batch_begin on (a band). *_base is
// the first vec4 bound of a tensor that is bound in part. Channels beyond O in the last vec4 are written as 0.

struct Params {
  batch_begin: u32,
  batch: u32,
  row_begin: u32,
  rows: u32,
  src_height: u32,
  src_width: u32,
  in_height: u32,
  in_width: u32,
  in_channels4: u32,
  out_height: u32,
  out_width: u32,
  out_channels: u32,
  panel4: u32,
  kernel_height: u32,
  kernel_width: u32,
  stride: u32,
  pad_top: i32,
  pad_left: i32,
  add_stride4: u32,
  has_bias: u32,
  has_add: u32,
  has_residual: u32,
  has_relu: u32,
  scale: f32,
  x_base: u32,
  residual_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
const WEIGHT: u32 = 1u;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> channel_add: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(6) var<uniform> params: Params;

// One of the numbers in activation.wgsl; ReLU is told by has_relu, with which none and ReLU are one shader.
const ACTIVATION: u32 = 0u;

struct Pixel {
  n: u32,
  oy: u32,
  ox: u32,
  valid: bool,
}

// The output pixel with index m within the band.
fn band_pixel(m: u32) -> Pixel {
  let per_image = params.rows * params.out_width;
  let n = m / per_image;
  let rest = m % per_image;
  let row = rest / params.out_width;
  return Pixel(n + params.batch_begin, row + params.row_begin, rest % params.out_width, m < params.batch * per_image);
}

// Index of the first vec4 of the input pixel that tap (ky, kx) of output pixel p reads, or -1 outside.
fn input_index(p: Pixel, ky: u32, kx: u32) -> i32 {
  let iy = i32(p.oy * params.stride + ky) - params.pad_top;
  let ix = i32(p.ox * params.stride + kx) - params.pad_left;
  let inside = p.valid && iy >= 0 && iy < i32(params.in_height) && ix >= 0 && ix < i32(params.in_width);
  let sy = nearest(u32(iy), params.src_height, params.in_height);
  let sx = nearest(u32(ix), params.src_width, params.in_width);
  let index = ((p.n * params.src_height + sy) * params.src_width + sx) * params.in_channels4 - params.x_base;
  return select(-1, i32(index), inside);
}

// Where the weights of output channels 4 · o4 and following begin.
fn weight_column(o4: u32) -> Column {
  let rows = params.kernel_height * params.kernel_width * 4u * params.in_channels4;
  return panel_column(o4, rows, (params.out_channels + 3u) / 4u, params.panel4);
}

// Bias of output channels 4 · o4 and following.
fn load_bias(o4: u32) -> vec4<f32> {
  if (params.has_bias == 0u) {
    return vec4<f32>();
  }
  return bias[o4];
}

// Applies what follows the bias to the sums of output channels 4 · o4 and following, and stores them.
fn store_output(p: Pixel, o4: u32, sum: vec4<f32>) {
  let out_channels4 = (params.out_channels + 3u) / 4u;
  // No early return: where calls are inlined many times, drivers compile it much slower.
  if (p.valid && o4 < out_channels4) {
    var v = sum;
    if (params.has_add != 0u) {
      v += channel_add[p.n * params.add_stride4 + o4];
    }
    let index = ((p.n * params.out_height + p.oy) * params.out_width + p.ox) * out_channels4 + o4;
    var added = vec4<f32>();
    if (params.has_residual != 0u) {
      added = residual[index - params.residual_base];
    }
    v = select(v, v + added, params.has_residual == 2u);
    v = activate(v, ACTIVATION);
    v = select(v, max(v, vec4<f32>()), params.has_relu != 0u) * params.scale;
    v = select(v, v + added, params.has_residual == 1u);
    let channel = vec4<u32>(0u, 1u, 2u, 3u) + 4u * o4;
    y[index - params.y_base] = select(vec4<f32>(), v, channel < vec4<u32>(params.out_channels));
  }
}
