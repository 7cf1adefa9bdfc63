import { deepStrictEqual, notDeepStrictEqual, throws } from "node:assert/strict";
import { parseRAFTConfig, type RAFTConfig } from "../../src/checkpoint/raft_config.ts";
import { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { upsampleFlow } from "../../src/kernels/upsample_flow.ts";
import { RAFT, raftPaddedSize } from "../../src/models/raft.ts";
import { evaluate, gpuTest, signalTensor } from "../_gpu_test.ts";
import { withGenerated } from "../generated_weights.ts";
import { loadCase } from "../golden_file.ts";

// What RAFT computes is compared with the goldens; here is how it may be called.

const { case: reduced } = loadCase("raft_reduced");
const config: RAFTConfig = parseRAFTConfig(reduced.config, "raft_reduced");
const HEIGHT = 64, WIDTH = 72;

/** Records with the reduced network and two pictures of 64×72, and returns the values of what `body` returned. */
async function run(
  gpu: Gpu,
  body: (rec: Recorder, raft: RAFT, pictures: readonly [Tensor, Tensor]) => Tensor[],
): Promise<Float32Array[]> {
  const from = {
    case: reduced,
    prefix: "flow.",
    build: (w: ConstructorParameters<typeof RAFT>[0]) => new RAFT(w, config),
  };
  return await withGenerated(gpu, from, async (raft) => {
    const [picture1, picture2] = ["raft.picture1", "raft.picture2"].map((name) =>
      signalTensor(gpu, name, [1, HEIGHT, WIDTH, 3])[0]
    );
    return await evaluate(gpu, (rec) => body(rec, raft, [picture1!, picture2!]));
  });
}

gpuTest("RAFT.flow() with a step keeps the pixels at its multiples", async (gpu) => {
  const [full, sparse] = await run(gpu, (rec, raft, [a, b]) => [
    raft.flow(rec, a, b, { height: 61, width: 70, updates: 1 }),
    raft.flow(rec, a, b, { height: 61, width: 70, updates: 1, step: 4 }),
  ]);
  const expected: number[] = [];
  for (let y = 0; y < 61; y += 4) {
    for (let x = 0; x < 70; x += 4) expected.push(...full!.subarray(2 * (70 * y + x), 2 * (70 * y + x) + 2));
  }
  deepStrictEqual([...sparse!], expected); // of even widths, 70 and 18
});

gpuTest("RAFT.forward() takes encoded pictures that other pairs share", async (gpu) => {
  const size = { height: HEIGHT, width: WIDTH, step: 8 } as const;
  const [there, back] = await run(gpu, (rec, raft, [a, b]) => [
    raft.flow(rec, a, b, { ...size, updates: 2 }),
    raft.flow(rec, b, a, { ...size, updates: 2 }),
  ]);
  const shared = await run(gpu, (rec, raft, [a, b]) => {
    const featureA = raft.features(rec, a), featureB = raft.features(rec, b);
    const pairs = [
      { feature1: featureA, feature2: featureB, ...raft.context(rec, a) },
      { feature1: featureB, feature2: featureA, ...raft.context(rec, b) },
    ];
    return pairs.map((pair) => {
      const { flow, mask } = raft.forward(rec, pair, { updates: 2 });
      return upsampleFlow(rec, flow, { ...size, mask, label: "upsample" });
    });
  });
  deepStrictEqual(shared, [there, back]);
  notDeepStrictEqual(there, back);
});

gpuTest("RAFT.forward() makes as many updates as the config says by default", async (gpu) => {
  const size = { height: HEIGHT, width: WIDTH, step: 8 } as const;
  const [byDefault, three, two] = await run(gpu, (rec, raft, [a, b]) => [
    raft.flow(rec, a, b, size),
    raft.flow(rec, a, b, { ...size, updates: config.num_flow_updates }),
    raft.flow(rec, a, b, { ...size, updates: config.num_flow_updates - 1 }),
  ]);
  deepStrictEqual(byDefault, three);
  notDeepStrictEqual(byDefault, two);
});

gpuTest("RAFT.flow() gives the same bytes in bands", async (gpu) => {
  const size = { height: HEIGHT, width: WIDTH, updates: 2 };
  const record = (
    rec: Recorder,
    raft: RAFT,
    [a, b]: readonly [Tensor, Tensor],
  ) => [raft.flow(rec, a, b, size)];
  // The largest tensors are the stem's, 73,728 bytes, and the mask, 165,888.
  using limited = await Gpu.open({ allowCpu: true, maxBindingBytes: 2 ** 16 });
  deepStrictEqual(await run(limited, record), await run(gpu, record));
});

gpuTest("RAFT refuses pictures of sizes it cannot take", async (gpu) => {
  await run(gpu, (rec, raft, [a]) => {
    const small = gpu.tensor([1, 56, 64, 3], "small"), odd = gpu.tensor([1, 64, 70, 3], "odd");
    for (const picture of [small, odd]) {
      const error = new RangeError(
        `Cannot run "flow": picture "${picture.label}" is [${picture.shape}], ` +
          `wanted height and width in multiples of 8 from 64 on`,
      );
      throws(() => raft.features(rec, picture), error);
      throws(() => raft.context(rec, picture), error);
    }
    throws(
      () => raft.flow(new Recorder(gpu), a, a, { height: HEIGHT, width: WIDTH, updates: 0 }),
      new RangeError('Cannot run "flow": 0 updates, wanted a positive integer'),
    );
    return [raft.features(rec, a)];
  });
});

Deno.test("raftPaddedSize() is the next multiple of 8, and at least what the pyramid needs", () => {
  deepStrictEqual(raftPaddedSize(720, 1280, { corr_block_num_levels: 4 }), [720, 1280]);
  deepStrictEqual(raftPaddedSize(721, 1273, { corr_block_num_levels: 4 }), [728, 1280]);
  deepStrictEqual(raftPaddedSize(50, 61, { corr_block_num_levels: 3 }), [64, 64]);
  deepStrictEqual(raftPaddedSize(1, 129, { corr_block_num_levels: 4 }), [128, 136]);
});
