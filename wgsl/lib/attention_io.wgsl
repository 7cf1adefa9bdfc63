// Bindings of scaled dot-product attention: per head y = softmax(scale · q kᵀ) v. The loops are in attention.wgsl
// (workgroup memory) and attention_subgroup.wgsl (subgroup broadcasts).
//   q, y  [N, L, H · D]       f32; head h has the channels from h · D on, D = 4 · HEAD_CHANNELS4
//   k, v  [N or 1, S, H · D]  f32; kv_stride4 is 0 where one batch serves all images
// With `causal`, query i sees the keys 0 to i. A dispatch computes `rows` queries from row_begin on of the images from
// batch_begin on (a band); *_base is the first vec4 of q and y that is bound.

struct Params {
  batch_begin: u32,
  row_begin: u32,
  rows: u32,
  queries: u32,
  keys: u32,
  channels4: u32,
  kv_stride4: u32,
  causal: u32,
  scale: f32,
  q_base: u32,
  y_base: u32,
}

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;
