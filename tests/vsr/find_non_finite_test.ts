import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Plan } from "../../src/gpu/plan.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { multiply, scale } from "../../src/kernels/elementwise.ts";
import { finiteTally } from "../../src/kernels/finite_tally.ts";
import { NonFiniteError } from "../../src/vsr/errors.ts";
import { assertFinite, findNonFinite, nonFiniteError } from "../../src/vsr/find_non_finite.ts";
import { gpuTest } from "../_gpu_test.ts";

interface Chain {
  readonly x: Tensor;
  readonly factor: Tensor;
  readonly out: Tensor;
  readonly plan: Plan;
}

/** out = 10^38 · factor · (x · 10 repeatedly), in 42 dispatches with labels "double 0" to "double 39" first. */
async function chain(gpu: Gpu): Promise<Chain> {
  const x = gpu.tensor([1, 3], "x", Float32Array.of(1, 2, 3));
  const factor = gpu.tensor([1, 3], "factor", Float32Array.of(1, 1, 1));
  const rec = new Recorder(gpu);
  let y = x;
  for (let i = 0; i < 40; i++) y = scale(rec, y, { factor: i % 2 ? 0.5 : 2, label: `double ${i}` });
  const product = multiply(rec, y, factor, { label: "product" });
  const out = scale(rec, product, { factor: 1e38, label: "enlarge" });
  return { x, factor, out, plan: await rec.finish([out]) };
}

gpuTest("findNonFinite() finds nothing where all is finite", async (gpu) => {
  const { plan } = await chain(gpu);
  using _ = plan;
  assert.equal(await findNonFinite(gpu, { steps: [plan] }), null);
});

gpuTest("findNonFinite() names the first dispatch that overflows, its kernel, and no input", async (gpu) => {
  const { x, plan } = await chain(gpu);
  using _ = plan;
  gpu.write(x, Float32Array.of(1, 4, 5));
  gpu.submit((encoder) => plan.encode(encoder));
  const culprit = await findNonFinite(gpu, { steps: [plan] });
  assert.deepEqual(
    [culprit?.node.label, culprit?.node.kernel, culprit?.badValues, culprit?.badInput],
    ["enlarge", "elementwise[OP=3]", 2, null],
  );
});

for (
  const [name, label] of [["x", "double 0"], ["factor", "product"]] as const
) {
  gpuTest(`findNonFinite() names the input that was bad before: ${name}`, async (gpu) => {
    const parts = await chain(gpu);
    using plan = parts.plan;
    gpu.write(parts[name], Float32Array.of(1, NaN, 1));
    // Leaves NaN in all memory of the plan, as a failed step does.
    plan.poison(gpu);
    gpu.submit((encoder) => plan.encode(encoder));
    const culprit = await findNonFinite(gpu, { steps: [plan] });
    assert.deepEqual(
      [culprit?.node.label, culprit?.badValues, culprit?.badInput?.label],
      [label, 1, name],
    );
  });
}

gpuTest("findNonFinite() does copies between plans again, in order", async (gpu) => {
  const { x, plan } = await chain(gpu);
  using _ = plan;
  const bad = gpu.tensor([1, 3], "bad", Float32Array.of(Infinity, 0, 0));
  const copy = (encoder: GPUCommandEncoder) =>
    encoder.copyBufferToBuffer(bad.storage.buffer!, 0, x.storage.buffer!, 0, 16);
  assert.equal(await findNonFinite(gpu, { steps: [plan, copy] }), null);
  const culprit = await findNonFinite(gpu, { steps: [plan, copy, plan] });
  assert.equal(culprit?.node.label, "double 0");
});

gpuTest("findNonFinite() leaves out tensors that hold no floats", async (gpu) => {
  const { x, out, plan } = await chain(gpu);
  using _ = plan;
  gpu.write(x, Float32Array.of(9, 9, 9));
  assert.equal(await findNonFinite(gpu, { steps: [plan], ignore: [out] }), null);
});

gpuTest("findNonFinite() sees bad values among packed f16", async (gpu) => {
  const packed = new Tensor([1, 4], "packed weight", { dtype: "f16" });
  gpu.writeRaw(packed, Float16Array.of(1, NaN, 1, 1));
  const { plan } = await chain(gpu);
  using _ = plan;
  const bad = gpu.tensor([1, 3], "bad", Float32Array.of(NaN, 0, 0));
  const rec = new Recorder(gpu);
  const y = scale(rec, bad, { factor: 1, label: "spoil" });
  using spoiled = await rec.finish([y]);
  const node = { ...spoiled.nodes[0]!, reads: [{ tensor: packed, byteOffset: 0, byteLength: 8, base: 0 }] };
  (spoiled.nodes as unknown[])[0] = node;
  const unit = { what: "bake a cake", steps: [spoiled], badValues: 1 };
  assert.deepEqual(
    await nonFiniteError(gpu, unit),
    new NonFiniteError(
      'Cannot bake a cake: "spoil" (elementwise[OP=3]) is the first to compute NaN or infinities, 1 in all; ' +
        'its input "packed weight" is not finite already. Pass --precision f32',
    ),
  );
});

gpuTest("nonFiniteError() says that it cannot find what does not happen again", async (gpu) => {
  const { plan } = await chain(gpu);
  using _ = plan;
  assert.deepEqual(
    await nonFiniteError(gpu, { what: "bake a cake", steps: [plan], badValues: 7 }),
    new NonFiniteError(
      "Cannot bake a cake: 7 of its values were NaN or infinite, but none when computed again. Memory or driver of " +
        "the GPU are at fault: run the same command again; if this repeats, update the driver",
    ),
  );
});

gpuTest("assertFinite() throws for the first unit that was bad, and not before there is one", async (gpu) => {
  const { x, out, plan } = await chain(gpu);
  using _ = plan;
  const state = gpu.tensor([1, 4], "state");
  const rec = new Recorder(gpu);
  finiteTally(rec, [out], { state, label: "check" });
  using check = await rec.finish([]);
  async function run(values: number[]): Promise<void> {
    gpu.write(x, Float32Array.from(values));
    gpu.submit((encoder) => {
      plan.encode(encoder);
      check.encode(encoder);
    });
    const unit = (index: number) => ({ what: `do unit ${index}`, steps: [plan] });
    await assertFinite(gpu, { state, unit });
  }
  await run([1, 2, 3]);
  await run([0, 0, -1]);
  await assert.rejects(run([1, 1, -9]), {
    name: "NonFiniteError",
    message:
      'Cannot do unit 2: "enlarge" (elementwise[OP=3]) is the first to compute NaN or infinities, 1 in all; ' +
      "its inputs are finite. The model's weights or the GPU driver are at fault: compare the weight " +
      "files with their source, update the driver",
  });
});
