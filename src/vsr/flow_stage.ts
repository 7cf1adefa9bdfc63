import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { bicubicUpsample } from "../kernels/bicubic_upsample.ts";
import { upsampleFlow } from "../kernels/upsample_flow.ts";
import { type RAFT, raftPaddedSize } from "../models/raft.ts";
import { type Clip, copyTensor } from "./frame_store.ts";
import { Pacer, type Step } from "./pacer.ts";
import type { StageControl } from "./progress.ts";

/** Frames are upscaled by this factor before their flow is computed, and flows are in pixels of that size. */
const FACTOR = 4;

/**
 * Optical flow between neighbouring frames at the density of the low-resolution frames: entry (i, j) is the flow of
 * pixel (4i, 4j) of the ×4 frames, in their pixels. Each tensor is [1, h, w, 2], x first.
 */
export interface Flows {
  /** [i]: where frame i + 1 looks in frame i. */
  readonly forward: readonly Tensor[];
  /** [i]: where frame i looks in frame i + 1. */
  readonly backward: readonly Tensor[];
}

/** What RAFT keeps of a frame for the pairs it is part of. */
interface EncodedFrame {
  readonly feature: Tensor;
  readonly hidden: Tensor;
  readonly context: Tensor;
}

/** Computes the flows of a clip in both directions; each frame is encoded once. The caller frees the tensors. */
export async function flowStage(
  gpu: Gpu,
  raft: RAFT,
  { frames, onProgress, signal }: StageControl & { readonly frames: Clip },
): Promise<Flows> {
  const { height, width, count } = frames;
  const forward: Tensor[] = [], backward: Tensor[] = [];
  using owned = new DisposableStack();
  const free = (tensor: Tensor) => gpu.free(tensor);
  const input = owned.adopt(gpu.tensor([1, height, width, 3], "frame"), free);
  const encoder = await recordEncoder(gpu, raft, input);
  owned.use(encoder.plan);
  // Frame i lives in slot i % 2: a pair is always both slots, once in each direction.
  const slots = [0, 1].map((i) => slotLike(gpu, encoder.output, i));
  for (const tensor of slots.flatMap((s) => Object.values(s))) owned.adopt(tensor, free);
  const size = { height: FACTOR * height, width: FACTOR * width };
  const pairs: { plan: Plan; flow: Tensor }[] = [];
  for (const i of [0, 1]) {
    const pair = await recordPair(gpu, raft, { target: slots[i]!, source: slots[1 - i]!, ...size });
    owned.use(pair.plan);
    pairs.push(pair);
  }
  try {
    const pacer = new Pacer(gpu);
    const total = count - 1;
    let done = 0;
    onProgress?.({ stage: "flow", done, total });
    for (let frame = 0; frame < count; frame++) {
      signal?.throwIfAborted();
      const steps: Step[] = [
        (commands) => frames.load(commands, frame, input),
        encoder.plan,
        (commands) => {
          for (const part of ["feature", "hidden", "context"] as const) {
            copyTensor(commands, encoder.output[part], slots[frame % 2]![part]);
          }
        },
      ];
      for (const [flows, target] of frame > 0 ? [[forward, frame], [backward, frame - 1]] as const : []) {
        const pair = pairs[target % 2]!;
        const flow = gpu.tensor([1, height, width, 2], `flow of frame ${target}`);
        flows.push(flow);
        steps.push(pair.plan, (commands) => copyTensor(commands, pair.flow, flow));
      }
      await pacer.submit(steps, signal);
      if (frame === 0) continue;
      done += await pacer.submitted();
      onProgress?.({ stage: "flow", done, total });
    }
    await pacer.drain();
    onProgress?.({ stage: "flow", done: total, total });
    return { forward, backward };
  } catch (error) {
    for (const flow of [...forward, ...backward]) gpu.free(flow);
    throw error;
  }
}

async function recordEncoder(
  gpu: Gpu,
  raft: RAFT,
  frame: Tensor,
): Promise<{ plan: Plan; output: EncodedFrame }> {
  const [height, width] = raftPaddedSize(FACTOR * frame.size(1), FACTOR * frame.size(2), raft.config);
  const rec = new Recorder(gpu);
  const picture = bicubicUpsample(rec, frame, { factor: FACTOR, height, width, label: "flow.upscale" });
  const feature = raft.features(rec, picture);
  const { hidden, context } = raft.context(rec, picture);
  return { plan: await rec.finish([feature, hidden, context]), output: { feature, hidden, context } };
}

async function recordPair(
  gpu: Gpu,
  raft: RAFT,
  pair: {
    readonly target: EncodedFrame;
    readonly source: EncodedFrame;
    readonly height: number;
    readonly width: number;
  },
): Promise<{ plan: Plan; flow: Tensor }> {
  const { target, source, height, width } = pair;
  const rec = new Recorder(gpu);
  const { flow, mask } = raft.forward(rec, {
    feature1: target.feature,
    feature2: source.feature,
    hidden: target.hidden,
    context: target.context,
  });
  const sparse = upsampleFlow(rec, flow, { mask, height, width, step: FACTOR, label: "flow.upsample" });
  return { plan: await rec.finish([sparse]), flow: sparse };
}

function slotLike(gpu: Gpu, output: EncodedFrame, slot: number): EncodedFrame {
  const like = ({ shape, label }: Tensor) => gpu.tensor(shape, `${label} of slot ${slot}`);
  return { feature: like(output.feature), hidden: like(output.hidden), context: like(output.context) };
}
