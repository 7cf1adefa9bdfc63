import assert from "node:assert/strict";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { gemm } from "../../src/kernels/gemm.ts";
import { winogradFilter } from "../../src/kernels/winograd.ts";
import { gpuTest } from "../_gpu_test.ts";
import { signal } from "../generated.ts";

/** Products with transformed filters of two sizes, one after the other. */
function recordProducts(
  rec: Recorder,
  { v, weights, inTexture }: {
    readonly v: Tensor;
    readonly weights: readonly Tensor[];
    readonly inTexture: boolean;
  },
) {
  return weights.map((weight) => {
    const filter = rec.tensor([36, 4, weight.size(-1)], "filter", { inTexture });
    winogradFilter(rec, [weight], { filter, label: "filter" });
    return { filter, product: gemm(rec, v, filter, { label: "product" }) };
  });
}

function inputs(gpu: Gpu) {
  const filled = (label: string, shape: number[]) => gpu.tensor(shape, label, signal(label, shape));
  return {
    v: filled("v", [36, 2, 4]),
    weights: [60, 140].map((columns) => filled(`weight ${columns}`, [9, 4, columns])),
  };
}

gpuTest("Recorder.finish() lets tensors share a texture, with the bytes that buffers give", async (gpu) => {
  const { v, weights } = inputs(gpu);
  const results: Float32Array[][] = [];
  for (const inTexture of [false, true]) {
    const rec = new Recorder(gpu), counted = new Recorder(gpu);
    const made = recordProducts(rec, { v, weights, inTexture }), outputs = made.map((m) => m.product);
    using plan = await rec.finish(outputs);
    plan.poison(gpu);
    gpu.submit((encoder) => plan.encode(encoder));
    results.push([await gpu.read(outputs[0]!), await gpu.read(outputs[1]!)]);
    const textures = made.map(({ filter }) => filter.storage.texture);
    assert.equal(textures[0], textures[1]);
    assert.equal(textures[0]?.height, inTexture ? Math.ceil(36 * 4 * 35 / 512) : undefined);
    const again = recordProducts(counted, { v, weights, inTexture }).map(({ product }) => product);
    assert.equal(counted.dryRun(again).byteLength, plan.byteLength);
  }
  assert.ok(results[0]!.every((values) => values.some((value) => Math.abs(value) > 0.1)));
  assert.deepEqual(results[1], results[0]);
});

gpuTest("Recorder.finish() gives textures of their own to tensors needed at the same time", async (gpu) => {
  const { v, weights } = inputs(gpu), rec = new Recorder(gpu);
  const [first, second] = recordProducts(rec, { v, weights, inTexture: true });
  const late = gemm(rec, v, first!.filter, { label: "late" });
  using plan = await rec.finish([first!.product, second!.product, late]);
  gpu.submit((encoder) => plan.encode(encoder));
  assert.notEqual(first!.filter.storage.texture, second!.filter.storage.texture);
  assert.deepEqual(await gpu.read(late), await gpu.read(first!.product));
});

gpuTest("Recorder.finish() with scratchOf takes the other plan's texture", async (gpu) => {
  const { v, weights } = inputs(gpu), large = new Recorder(gpu), small = new Recorder(gpu);
  const [first, second] = recordProducts(large, { v, weights, inTexture: true });
  using plan = await large.finish([first!.product, second!.product]);
  const [other] = recordProducts(small, { v, weights: weights.slice(0, 1), inTexture: true });
  using sharing = await small.finish([other!.product], { scratchOf: plan });
  assert.equal(other!.filter.storage.texture, first!.filter.storage.texture);
  assert.ok(sharing.byteLength < 512 * 16, "a texture of its own");
});

gpuTest("Recorder.finish() refuses to keep a tensor in a texture", async (gpu) => {
  const { v, weights } = inputs(gpu), rec = new Recorder(gpu);
  const [made] = rec.once(() => recordProducts(rec, { v, weights, inTexture: true }));
  await assert.rejects(
    rec.finish([made!.product]),
    /^TypeError: Cannot run winograd_filter "filter": "operand" is in a texture and would be kept/,
  );
});
