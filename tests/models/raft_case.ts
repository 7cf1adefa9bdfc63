import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { bicubicUpsample } from "../../src/kernels/bicubic_upsample.ts";
import { RAFT, raftPaddedSize } from "../../src/models/raft.ts";
import { toChannelsFirst, toChannelsLast } from "../_gpu_test.ts";
import { withGenerated } from "../generated_weights.ts";
import { type Golden, tensorOf } from "../golden_file.ts";

/** A tensor in PyTorch's layout. */
export interface CaseOutput {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * Runs a golden case of RAFT. Pictures are padded where their size asks for it, the flow is cropped. Returns all
 * tensors that the case's index calls outputs or intermediates, under the same names and with the same channels.
 */
export function runRaftCase(gpu: Gpu, golden: Golden): Promise<Map<string, CaseOutput>> {
  const config = parseRAFTConfig(golden.case.config, golden.case.name);
  const from = {
    case: golden.case,
    prefix: "flow.",
    build: (w: ConstructorParameters<typeof RAFT>[0]) => new RAFT(w, config),
  };
  return withGenerated(gpu, from, async (raft) => {
    const [, , height = 0, width = 0] = tensorOf(golden, "image1").shape;
    const [paddedHeight, paddedWidth] = raftPaddedSize(height, width, config);
    const rec = new Recorder(gpu, () => true);
    const [picture1, picture2] = ["image1", "image2"].map((name) => {
      const { data, shape } = tensorOf(golden, name);
      const picture = gpu.tensor([1, height, width, 3], name, toChannelsLast(data, shape));
      return bicubicUpsample(rec, picture, {
        factor: 1,
        height: paddedHeight,
        width: paddedWidth,
        label: name,
      });
    });
    const flow = raft.flow(rec, picture1!, picture2!, { height, width });
    using plan = await rec.finish([flow]);
    plan.poison(gpu);
    gpu.submit((encoder) => plan.encode(encoder));

    const outputs = new Map<string, CaseOutput>();
    for (const [name, { role, shape, channels }] of Object.entries(golden.case.tensors)) {
      if (role === "input") continue;
      const tensor = name === "flow" ? flow : rec.taps.get(name.replace("intermediate", "flow"))!;
      const [n = 1, kept = 1, h = 1, w = 1] = shape;
      const all = toChannelsFirst(await gpu.read(tensor), [n, channels?.[2] ?? kept, h, w]);
      outputs.set(name, { shape, data: all.subarray(0, kept * h * w) });
    }
    return outputs;
  });
}
