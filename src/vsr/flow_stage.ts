import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { bicubicUpsample } from "../kernels/bicubic_upsample.ts";
import { finiteTally } from "../kernels/finite_tally.ts";
import { upsampleFlow } from "../kernels/upsample_flow.ts";
import { type RAFT, raftPaddedSize } from "../models/raft.ts";
import { assertFinite, type Unit } from "./find_non_finite.ts";
import type { Flows, FlowStep } from "./flows.ts";
import { type Clip, copyTensor } from "./frame_store.ts";
import { saveFlows } from "./job_state.ts";
import { Pacer, type Step } from "./pacer.ts";
import type { StageControl } from "./progress.ts";

/** Frames are upscaled by this factor before their flow is computed, and flows are in pixels of that size. */
const FACTOR = 4;

/** What RAFT keeps of a frame for the pairs it is part of. */
export interface EncodedFrame {
  readonly feature: Tensor;
  readonly hidden: Tensor;
  readonly context: Tensor;
}

/** What the flow stage works on. */
export interface FlowOptions extends StageControl {
  readonly frames: Clip;
  /** Flows of the first pairs, which need not be computed; they are among those returned. */
  readonly kept?: Flows | null;
  /** 1 if the backward flows are not wanted; default 2. */
  readonly directions?: 1 | 2;
  /** Density of the flows, default 4. */
  readonly step?: FlowStep;
}

/**
 * Computes the flows of a clip, in both directions or forward only; each frame is encoded once. The caller frees the tensors. With
 * `job`, finished flows are kept there from time to time, at the end and when aborted. Throws `NonFiniteError`
 * for values that are no numbers.
 */
export async function flowStage(
  gpu: Gpu,
  raft: RAFT,
  { frames, kept = null, directions = 2, step = 4, job, onProgress, signal }: FlowOptions,
): Promise<Flows> {
  const { height, width, count } = frames;
  const forward = [...kept?.forward ?? []], backward = [...kept?.backward ?? []];
  using owned = new DisposableStack();
  const free = (tensor: Tensor) => gpu.free(tensor);
  const input = owned.adopt(gpu.tensor([1, height, width, 3], "frame"), free);
  const rec = new Recorder(gpu);
  const output = recordEncoder(rec, raft, input);
  const encoder = owned.use(await rec.finish(Object.values(output)));
  // Frame i lives in slot i % 2: a pair is always both slots, once in each direction.
  const slots = [0, 1].map((i) => slotLike(output, i));
  const encodings = slots.flatMap((slot): Tensor[] => Object.values(slot));
  for (const tensor of encodings) {
    gpu.allocate(tensor);
    owned.adopt(tensor, free);
  }
  const tally = owned.adopt(gpu.tensor([1, 4], "finite flows"), free);
  const pairs: { plan: Plan; flow: Tensor }[] = [];
  for (const i of [0, 1]) {
    const rec = new Recorder(gpu);
    const pair = { target: slots[i]!, source: slots[1 - i]! };
    const flow = recordPair(rec, raft, { ...pair, height, width, step, tally });
    pairs.push({ plan: owned.use(await rec.finish([flow])), flow });
  }
  try {
    const total = count - 1, first = forward.length;
    const pacer = new Pacer(gpu, () => assertFinite(gpu, { state: tally, unit: flowUnit }));
    let done = first, saved = first;
    const save = async () => {
      if (job) await saveFlows(gpu, job, { flows: { forward, backward }, from: saved });
      saved = done;
    };
    const encode = (frame: number): Step[] => [
      (commands) => frames.load(commands, frame, input),
      encoder,
      (commands) => {
        for (const part of ["feature", "hidden", "context"] as const) {
          copyTensor(commands, output[part], slots[frame % 2]![part]);
        }
      },
    ];
    /** The flow that was checked as number `index`, from the frames on. */
    const flowUnit = (index: number): Unit => {
      const frame = first + 1 + Math.floor(index / directions), target = frame - index % directions;
      const steps = [...encode(frame - 1), ...encode(frame), pairs[target % 2]!.plan];
      return { what: `compute the flow of frame ${target}`, steps };
    };
    onProgress?.({ stage: "flow", done, total });
    for (let frame = first; frame < count && !signal?.aborted; frame++) {
      const steps = encode(frame);
      const wanted = ([[forward, frame], [backward, frame - 1]] as const).slice(
        0,
        frame > first ? directions : 0,
      );
      for (const [flows, target] of wanted) {
        const pair = pairs[target % 2]!;
        const flow = gpu.tensor(pair.flow.shape, `flow of frame ${target}`);
        flows.push(flow);
        steps.push(pair.plan, (commands) => copyTensor(commands, pair.flow, flow));
      }
      await pacer.submit(steps, `compute the flows of frame ${frame}`);
      if (frame === first) continue;
      const finished = await pacer.submitted();
      done += finished;
      onProgress?.({ stage: "flow", done, total });
      if (finished > 0 && job?.due) await save();
    }
    done += await pacer.drain();
    await save();
    signal?.throwIfAborted();
    onProgress?.({ stage: "flow", done, total });
    return { forward, backward };
  } catch (error) {
    for (const flow of [...forward, ...backward]) gpu.free(flow);
    throw error;
  }
}

/** Records the encoding of `frame` [1, h, w, 3]. */
export function recordEncoder(rec: Recorder, raft: RAFT, frame: Tensor): EncodedFrame {
  const [height, width] = raftPaddedSize(FACTOR * frame.size(1), FACTOR * frame.size(2), raft.config);
  const picture = bicubicUpsample(rec, frame, { factor: FACTOR, height, width, label: "flow.upscale" });
  return { feature: raft.features(rec, picture), ...raft.context(rec, picture) };
}

/**
 * Records the flow from `target` to `source`, of `flowShape()`, and its check; the size is the low-resolution frames'.
 */
export function recordPair(
  rec: Recorder,
  raft: RAFT,
  { target, source, height, width, step, tally }: {
    readonly target: EncodedFrame;
    readonly source: EncodedFrame;
    readonly height: number;
    readonly width: number;
    readonly step: FlowStep;
    /** State of the check; see `finiteTally()`. */
    readonly tally: Tensor;
  },
): Tensor {
  const { flow, mask } = raft.forward(rec, {
    feature1: target.feature,
    feature2: source.feature,
    hidden: target.hidden,
    context: target.context,
  });
  const enlarged = upsampleFlow(rec, flow, {
    mask,
    height: FACTOR * height,
    width: FACTOR * width,
    step,
    label: "flow.upsample",
  });
  // What it is computed from too: ReLU may make a number of NaN on the way.
  const encodings = [target, source].flatMap((frame): Tensor[] => Object.values(frame));
  finiteTally(rec, [enlarged, ...encodings], { state: tally, label: "check flow" });
  return enlarged;
}

/** Tensors without memory to keep an encoded frame in. */
export function slotLike(output: EncodedFrame, slot: number): EncodedFrame {
  const like = ({ shape, label }: Tensor) => new Tensor(shape, `${label} of slot ${slot}`);
  return { feature: like(output.feature), hidden: like(output.hidden), context: like(output.context) };
}
