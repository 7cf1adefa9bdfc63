import assert from "node:assert/strict";
import { CountingRecorder } from "../../src/kernels/counting_recorder.ts";
import { attention } from "../../src/kernels/attention.ts";
import { conv2d } from "../../src/kernels/conv2d.ts";
import { correlation } from "../../src/kernels/correlation.ts";
import { scale } from "../../src/kernels/elementwise.ts";
import { gemm } from "../../src/kernels/gemm.ts";
import { winogradConv2d, winogradFilter } from "../../src/kernels/winograd.ts";
import { gpuTest } from "../_gpu_test.ts";

gpuTest("CountingRecorder counts a convolution's multiply-adds twice, of real channels only", (gpu) => {
  const rec = new CountingRecorder(gpu);
  const x = gpu.tensor([2, 9, 7, 3], "x"), weight = gpu.tensor([9, 4, 5], "weight");
  conv2d(rec, x, { weight, kernel: [3, 3], stride: 2, padding: 1, label: "conv" });
  assert.equal(rec.flops, 2 * 2 * 5 * 4 * 5 * 9 * 3);
  const large = gpu.tensor([1, 40, 30, 3], "large");
  conv2d(rec, large, { weight, kernel: [3, 3], padding: 1, label: "by runs" });
  assert.equal(rec.flops, 2 * 2 * 5 * 4 * 5 * 9 * 3 + 2 * 40 * 30 * 5 * 9 * 3);
  assert.equal(rec.hasWinograd, false);
  return Promise.resolve();
});

gpuTest("CountingRecorder counts a convolution by Winograd as the direct one", (gpu) => {
  const rec = new CountingRecorder(gpu);
  const a = gpu.tensor([2, 9, 7, 8], "a"), b = gpu.tensor([2, 9, 7, 6], "b");
  const weights = [gpu.tensor([9, 8, 5], "of a"), gpu.tensor([9, 8, 5], "of b")];
  const filter = gpu.tensor([36, 16, 5], "filter");
  rec.once(() => winogradFilter(rec, weights, { filter, label: "conv" }));
  assert.deepEqual([rec.flops, rec.bytes], [0, 0]);
  winogradConv2d(rec, [a, b], { filter, label: "conv" });
  assert.equal(rec.flops, 2 * 2 * 9 * 7 * 5 * 9 * (8 + 6));
  assert.equal(rec.hasWinograd, true);
  gemm(rec, gpu.tensor([3, 5, 8], "c"), gpu.tensor([3, 8, 7], "d"), { label: "product" });
  assert.equal(rec.flops, 2 * 2 * 9 * 7 * 5 * 9 * (8 + 6) + 2 * 3 * 5 * 8 * 7);
  return Promise.resolve();
});

gpuTest("CountingRecorder counts both products of attention over all keys", (gpu) => {
  const rec = new CountingRecorder(gpu);
  const q = gpu.tensor([2, 11, 16], "q"), kv = gpu.tensor([1, 5, 16], "kv");
  attention(rec, q, kv, kv, { heads: 2, label: "attention" });
  assert.equal(rec.flops, 2 * 2 * (2 * 11 * 5 * 16));
  return Promise.resolve();
});

gpuTest("CountingRecorder counts the dot products of a correlation look-up", (gpu) => {
  const rec = new CountingRecorder(gpu);
  const f = gpu.tensor([1, 4, 6, 8], "f"), half = gpu.tensor([1, 2, 3, 8], "half");
  correlation(rec, f, {
    pyramid: [f, half],
    flow: gpu.tensor([1, 4, 6, 2], "flow"),
    radius: 1,
    label: "correlation",
  });
  assert.equal(rec.flops, 2 * 2 * (4 * 6) * 4 ** 2 * 8);
  return Promise.resolve();
});

gpuTest("CountingRecorder counts bytes read and written, padding included", (gpu) => {
  const rec = new CountingRecorder(gpu);
  scale(rec, gpu.tensor([1, 4, 4, 3], "x"), { factor: 2, label: "scale" });
  assert.equal(rec.bytes, 2 * 4 * 4 * 4 * 4);
  assert.equal(rec.flops, 0);
  return Promise.resolve();
});
