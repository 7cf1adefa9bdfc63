// Bindings of the batched matrix product c[i] = a[i] · weight[i]; the tile loops are in gemm.wgsl (workgroup memory) and
// gemm_subgroup.wgsl (subgroup broadcasts).
//   a       [B, M, K / 4]  vec4 along K
//   weight  [B, K, N / 4]  vec4 along N, f32 or packed f16; each matrix in panels of panel4 (lib/panels.wgsl)
//   c       [B, M, N / 4]  vec4 along N
// *_base is the first vec4 of the dispatch within what is bound.

struct Params {
  rows: u32,
  inner4: u32,
  columns4: u32,
  panel4: u32,
  a_base: u32,
  weight_base: u32,
  c_base: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
const WEIGHT: u32 = 1u;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;
