import assert from "node:assert/strict";
import { flowPairs } from "../../src/kernels/flow_pairs.ts";
import { gpuTest } from "../_gpu_test.ts";
import { flowTensor, fromFlowPairs } from "../_flow_pairs.ts";

Deno.test("flowPairs() has two pixels of a row in four channels, and room for an odd one", () => {
  assert.deepEqual(flowPairs(2, 3, 6), [2, 3, 3, 4]);
  assert.deepEqual(flowPairs(1, 5, 7), [1, 5, 4, 4]);
  assert.deepEqual(flowPairs(1, 1, 1), [1, 1, 1, 4]);
});

gpuTest("flowPairs() holds a flow without padding but for an odd width", async (gpu) => {
  for (const width of [4, 5]) {
    const shape = [2, 3, width, 2], data = Float32Array.from({ length: 12 * width }, (_, i) => i + 1);
    const flow = flowTensor(gpu, "flow", { shape, data });
    const pixels = width === 4 ? 24 : 36; // 2 images of 3 rows of 4 or 6
    assert.equal(flow.storage.byteLength, 2 * 4 * pixels);
    const stored = await gpu.read(flow);
    assert.deepEqual(stored.subarray(0, 4), data.subarray(0, 4)); // (x, y) of the first pixel and of the second
    assert.deepEqual(fromFlowPairs(stored, width), data);
    gpu.free(flow);
  }
});
