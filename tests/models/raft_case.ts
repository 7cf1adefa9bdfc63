import { parseRAFTConfig } from "../../src/checkpoint/raft_config.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { bicubicUpsample } from "../../src/kernels/bicubic_upsample.ts";
import { RAFT, raftPaddedSize } from "../../src/models/raft.ts";
import { fromFlowPairs } from "../_flow_pairs.ts";
import { toChannelsFirst, toChannelsLast } from "../_gpu_test.ts";
import { withGenerated } from "../generated_weights.ts";
import { compute, type Computed, imageInput, intermediates } from "../golden_cases/run.ts";
import { type Golden, tensorOf } from "../golden_file.ts";

/** Runs a golden case of RAFT. Pictures are padded where their size asks for it, the flow is cropped. */
export async function runRaftCase(gpu: Gpu, golden: Golden): Promise<Computed> {
  const config = parseRAFTConfig(golden.case.config, golden.case.name);
  const [batch = 1, , height = 0, width = 0] = tensorOf(golden, "image1").shape;
  const [paddedHeight, paddedWidth] = raftPaddedSize(height, width, config);
  const computed = await withGenerated(
    gpu,
    { case: golden.case, prefix: "flow.", build: (w) => new RAFT(w, config) },
    (raft) =>
      compute(gpu, (rec) => {
        const [picture1, picture2] = ["image1", "image2"].map((label) =>
          bicubicUpsample(rec, imageInput(gpu, golden, label), {
            factor: 1,
            height: paddedHeight,
            width: paddedWidth,
            label,
          })
        );
        return { flow: raft.flow(rec, picture1!, picture2!, { height, width }) };
      }, intermediates(golden, "flow")),
  );
  const pairs = toChannelsLast(computed.get("flow")!, [batch, 4, height, Math.ceil(width / 2)]);
  return computed.set("flow", toChannelsFirst(fromFlowPairs(pairs, width), [batch, 2, height, width]));
}
