import { defineKernel, type Kernel } from "../../src/gpu/kernel.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";

/** y = factor · x for `count` vec4s: the smallest kernel that has inputs, outputs, params and a constant. */
export const scaleKernel: Kernel = defineKernel({
  name: "scale",
  source: `
const WORKGROUP: u32 = 64u;
struct Params { count: u32, factor: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < params.count) {
    y[id.x] = params.factor * x[id.x];
  }
}
`,
  bindings: { x: "read", y: "write" },
  params: { count: "u32", factor: "f32" },
});

/** Records `factor` · `x`, of a tensor of at most 64 vec4s. */
export function recordScale(
  rec: Recorder,
  x: Tensor,
  { factor, label }: { readonly factor: number; readonly label: string },
): Tensor {
  const y = rec.tensor(x.shape, label);
  rec.run(scaleKernel, {
    bindings: { x, y },
    params: { count: y.vec4s, factor },
    workgroups: [1, 1, 1],
    label,
  });
  return y;
}
