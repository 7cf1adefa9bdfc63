import assert from "node:assert/strict";
import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { attention } from "../../src/kernels/attention.ts";
import { attentionCandidates } from "../../src/kernels/tuning.ts";
import { assertAllClose, TOLERANCE } from "../_assert.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import * as reference from "../reference/attention.ts";

interface Case {
  readonly batch?: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headChannels: number;
  readonly kvBatch?: number;
  readonly causal?: boolean;
  readonly scale?: number;
}

const cases: Record<string, Case> = {
  "heads of 8 channels": { batch: 2, queries: 35, keys: 35, heads: 8, headChannels: 8 },
  "heads of 4 channels": { queries: 35, keys: 7, heads: 3, headChannels: 4 },
  "heads of 16 channels, several blocks of keys": { queries: 481, keys: 481, heads: 2, headChannels: 16 },
  "heads of 40 channels, which divide no power of 2": { queries: 70, keys: 77, heads: 2, headChannels: 40 },
  "heads of 64 channels": { batch: 2, queries: 35, keys: 323, heads: 3, headChannels: 64 },
  "heads of 128 channels": { queries: 19, keys: 77, heads: 2, headChannels: 128 },
  "a head of 512 channels": { queries: 35, keys: 323, heads: 1, headChannels: 512 },
  "one query and one key": { queries: 1, keys: 1, heads: 2, headChannels: 8 },
  "one query": { batch: 3, queries: 1, keys: 323, heads: 1, headChannels: 64 },
  "one key": { batch: 2, queries: 70, keys: 1, heads: 4, headChannels: 16 },
  "one k and v for several images": {
    batch: 3,
    queries: 35,
    keys: 77,
    heads: 4,
    headChannels: 16,
    kvBatch: 1,
  },
  "causally": { batch: 2, queries: 77, keys: 77, heads: 4, headChannels: 16, causal: true },
  "causally, several blocks of keys": { queries: 323, keys: 323, heads: 1, headChannels: 8, causal: true },
  "causally, more queries than keys": { queries: 35, keys: 7, heads: 1, headChannels: 8, causal: true },
  "with another scale": { queries: 35, keys: 35, heads: 2, headChannels: 8, scale: 1.5 },
};

for (
  const [variant, gpuOptions] of [["subgroups", undefined], ["workgroup memory", {
    subgroups: false,
  }]] as const
) {
  gpuTest(`attention() equals the float64 loop for every case with ${variant}`, async (gpu) => {
    assert.equal(gpu.facts.subgroupSize > 0, variant === "subgroups");
    await checkAll(gpu);
  }, gpuOptions);

  gpuTest(`attention() stands scores beyond the range of exp() with ${variant}`, async (gpu) => {
    const shape = { batch: 1, kvBatch: 1, queries: 70, keys: 323, heads: 2, headChannels: 64 };
    const [q, qs] = signalTensor(gpu, "q", [1, 70, 128], 8);
    const [k, ks] = signalTensor(gpu, "k", [1, 323, 128], 8);
    const [v, vs] = signalTensor(gpu, "v", [1, 323, 128]);
    const [y] = await evaluate(gpu, (rec) => attention(rec, q, k, v, { heads: 2, label: "y" }));
    // Scores of some 250 are off by 250 · 6e-8 · a few in f32, and the weights by as much, relatively.
    assertAllClose(y!, reference.attention([qs, ks, vs], shape), { rtol: 1e-4, atol: 1e-4 });
  }, gpuOptions);

  gpuTest(`attention() gives the same bytes in bands with ${variant}`, async (gpu) => {
    using unlimited = await Gpu.open({ allowCpu: true, ...gpuOptions });
    const results: Float32Array[][] = [], dispatches: number[] = [];
    for (const device of [gpu, unlimited]) {
      const [q] = signalTensor(device, "q", [2, 131, 32]);
      const [k] = signalTensor(device, "k", [2, 45, 32]);
      const [v] = signalTensor(device, "v", [2, 45, 32]);
      let count = 0;
      results.push(
        await evaluate(device, (rec) => {
          const run = rec.run.bind(rec);
          rec.run = (kernel, dispatch) => {
            count++;
            run(kernel, dispatch);
          };
          return [
            attention(rec, q, k, v, { heads: 4, label: "y" }),
            attention(rec, q, k, v, { heads: 4, causal: true, label: "causal" }),
          ];
        }),
      );
      dispatches.push(count);
    }
    assert.deepEqual(dispatches, [2 * 2 * 2, 2]);
    assert.deepEqual(results[0], results[1]);
  }, { ...gpuOptions, maxBindingBytes: 12_288 });
}

gpuTest("attention() gives the same bytes with every tile in workgroup memory", async (gpu) => {
  for (const headChannels of [8, 40, 128, 512]) {
    const channels = 2 * headChannels;
    const [q] = signalTensor(gpu, "q", [1, 70, channels]);
    const [k] = signalTensor(gpu, "k", [1, 77, channels]);
    const [v] = signalTensor(gpu, "v", [1, 77, channels]);
    const results: Float32Array[] = [];
    const count = attentionCandidates(gpu.facts, headChannels).length;
    for (let i = 0; i < count; i++) {
      const [y] = await evaluate(gpu, (rec) => {
        const runOneOf = rec.runOneOf.bind(rec);
        rec.runOneOf = (variants, choice) => runOneOf([variants[i]!], choice);
        return attention(rec, q, k, v, { heads: 2, label: "y" });
      });
      results.push(y!);
    }
    assert.ok(results.length >= 2);
    for (const y of results) {
      assert.deepEqual(new Uint32Array(y.buffer), new Uint32Array(results[0]!.buffer), `${headChannels}`);
    }
  }
}, { subgroups: false });

async function checkAll(gpu: Gpu): Promise<void> {
  for (const [name, shape] of Object.entries(cases)) {
    const { batch = 1, kvBatch = batch, queries, keys, heads, headChannels, ...options } = shape;
    const channels = heads * headChannels;
    const [q, qs] = signalTensor(gpu, "q", [batch, queries, channels]);
    const [k, ks] = signalTensor(gpu, "k", [kvBatch, keys, channels]);
    const [v, vs] = signalTensor(gpu, "v", [kvBatch, keys, channels]);
    const [y] = await evaluate(gpu, (rec) => attention(rec, q, k, v, { heads, ...options, label: "y" }));
    const expected = reference.attention([qs, ks, vs], { ...shape, batch, kvBatch });
    assertAllClose(y!, expected, { ...TOLERANCE.f32, label: name });
  }
}

gpuTest("attention() refuses shapes that do not fit", (gpu) => {
  const rec = new Recorder(gpu);
  const q = rec.tensor([3, 5, 24], "q"), k = rec.tensor([3, 7, 24], "k");
  const short = rec.tensor([3, 6, 24], "short"), two = rec.tensor([2, 7, 24], "two");
  const narrow = rec.tensor([3, 7, 20], "narrow"), wide = rec.tensor([1, 5, 516], "wide");
  const options = { heads: 3, label: "attn" };
  assert.throws(() => attention(rec, q, k, k, { ...options, heads: 4 }), {
    name: "RangeError",
    message:
      'Cannot run attention "attn": 24 channels in 4 heads, heads of a multiple of 4 and at most 512 channels wanted',
  });
  assert.throws(() => attention(rec, q, k, k, { ...options, heads: -3 }), RangeError);
  assert.throws(() => attention(rec, wide, wide, wide, { ...options, heads: 1 }), RangeError);
  assert.throws(() => attention(rec, q, k, short, options), RangeError);
  assert.throws(() => attention(rec, q, two, two, options), RangeError);
  assert.throws(() => attention(rec, q, narrow, narrow, options), RangeError);
  return Promise.resolve();
});
