import assert from "node:assert/strict";
import { defineKernel } from "../../src/gpu/kernel.ts";
import { type Activation, activationLibrary, ACTIVATIONS } from "../../src/kernels/activation.ts";
import { assertAllClose } from "../_assert.ts";
import { evaluate, gpuTest } from "../_gpu_test.ts";
import { activations as references } from "../reference/activation.ts";

/** y = activation(x), 4 values per invocation. */
const kernel = defineKernel({
  name: "activation",
  library: [activationLibrary],
  source: `
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
const ACTIVATION: u32 = 0u;

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3<u32>) {
  y[id.x] = activate(x[id.x], ACTIVATION);
}
`,
  bindings: { x: "read", y: "write" },
  params: {},
});

// -6 to 6 closely, where the functions bend; the seams of the piecewise ones (0.25, √2); values that overflow exp.
const BEND = Array.from({ length: 481 }, (_, i) => (i - 240) / 40);
const FAR = [0, 0.2499999, 0.25, 1.4142134, 1.4142137, 1e-30, 1e-7, 12, 90, 1e4, 1e30];
const VALUES = Float32Array.from([...BEND, ...FAR, ...FAR.map((v) => -v), 0]);

Deno.test("ACTIVATIONS have distinct numbers and a reference each", () => {
  const names = Object.keys(ACTIVATIONS);
  assert.equal(new Set(Object.values(ACTIVATIONS)).size, names.length);
  assert.deepEqual(names.sort(), Object.keys(references).sort());
});

for (const [name, number] of Object.entries(ACTIVATIONS) as [Activation, number][]) {
  gpuTest(`activate() computes ${name}, without NaN far out`, async (gpu) => {
    const x = gpu.tensor([VALUES.length / 4, 4], "x", VALUES);
    const [y] = await evaluate(gpu, (rec) => {
      const y = rec.tensor(x.shape, "y");
      rec.run(kernel, {
        bindings: { x, y },
        params: {},
        workgroups: [x.vec4s, 1, 1],
        constants: { ACTIVATION: number },
        label: name,
      });
      return y;
    });
    assertAllClose(y!, [...VALUES].map(references[name]), { rtol: 2e-6, atol: 1e-6, label: name });
  });
}
