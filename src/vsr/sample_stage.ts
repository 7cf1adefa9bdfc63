import type { Scheduler } from "../diffusion/scheduler.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { assertFinite, type Unit } from "./find_non_finite.ts";
import type { Flows } from "./flows.ts";
import { type Clip, copyTensor } from "./frame_store.ts";
import {
  recordEstimate,
  recordStep,
  type SampleNetworks,
  StepInputs,
  type StepOutputs,
  stepTensors,
} from "./frame_step.ts";
import { type Samples, saveSamples } from "./job_state.ts";
import type { Noise } from "./noise.ts";
import { Pacer } from "./pacer.ts";
import type { StageControl } from "./progress.ts";
import { TileDecoder } from "./tile_decoder.ts";

/** What the sampling stage works on. */
export interface SampleInputs {
  readonly frames: Clip;
  /** Flows between neighbours; null without temporal guidance. */
  readonly flows: Flows | null;
  readonly noise: Noise;
  /** Where to go on; null for the beginning. Its latents are among those returned. */
  readonly kept?: Samples | null;
}

export interface SampleOptions extends StageControl {
  readonly scheduler: Scheduler;
  /** Number of sampling steps. */
  readonly steps: number;
  /** Factor of the temporal module's residuals. */
  readonly conditioningScale: number;
  /** Class label, for models that have classes. */
  readonly classLabel?: number | null;
  /** DDIM's η, default 0. */
  readonly eta?: number;
  /** Called after each frame-step, for tests and diagnosis. */
  readonly onStep?: (
    at: { step: number; frame: number; latent: Tensor; clean: Tensor; guide: Tensor | null },
  ) =>
    | void
    | Promise<void>;
}

interface StepPlan extends StepOutputs {
  readonly plan: Plan;
}

/**
 * Frame-wise Bidirectional Sampling: for each timestep, every frame in the current direction (which alternates);
 * each frame is guided by the clean estimate of the one visited before it, aligned along the flow between the two.
 * Returns one latent [1, h, w, L] per frame, which the caller frees. With `job`, latents and estimate are kept there
 * from time to time, at the end and when aborted. Throws `NonFiniteError` for values that are no numbers.
 */
export async function sampleStage(
  gpu: Gpu,
  networks: SampleNetworks,
  inputs: SampleInputs & SampleOptions,
): Promise<Tensor[]> {
  const { frames, flows, noise, scheduler, steps, kept = null, job, signal } = inputs;
  const { height, width, count } = frames;
  const channels = networks.unet.config.out_channels;
  const shape = [1, height, width, channels];
  const io = new StepInputs(gpu, shape, networks);
  const timesteps = scheduler.timesteps(steps);
  const latents = [...kept?.latents ?? []];
  const plans: StepPlan[] = [];
  using owned = new DisposableStack();
  async function finishStep(conditioningScale: number | null, scratchOf?: Plan): Promise<StepPlan> {
    const rec = new Recorder(gpu);
    const outputs = recordStep(rec, io, { networks, conditioningScale });
    const step = { ...outputs, plan: await rec.finish(stepTensors(outputs), { scratchOf }) };
    plans.push(step);
    return step;
  }
  try {
    io.allocate();
    const guided = networks.temporal && count > 1 ? await finishStep(inputs.conditioningScale) : null;
    const tiles = guided && recordEstimate(io, networks, () => new Recorder(gpu));
    const decoder = tiles && owned.use(await TileDecoder.create(gpu, tiles, { scratchOf: guided.plan }));
    const alone = await finishStep(null, guided?.plan); // the smaller of the two; they never run at once
    if (inputs.classLabel !== undefined && inputs.classLabel !== null) io.setClass(inputs.classLabel);
    if (kept) gpu.submit((encoder) => copyTensor(encoder, kept.clean, io.clean));
    for (let frame = latents.length; frame < count; frame++) {
      const latent = gpu.tensor(shape, `latent ${frame}`);
      noise.fill(latent, { frame, stream: 0 });
      latents.push(latent);
    }
    const total = steps * count, first = kept?.done ?? 0;
    const pacer = new Pacer(
      gpu,
      () => assertFinite(gpu, { state: io.tally, unit: (index) => frameStep(first + index) }),
    );
    let done = first, saved = first;
    const save = async () => {
      if (job && done > saved) await saveSamples(gpu, job, { done, latents, clean: io.clean });
      saved = done;
    };
    let begun = -1;
    /** Writes what frame-step `unit` reads and says what it does. */
    const frameStep = (unit: number): Unit & { step: number; frame: number; guide: Tensor | null } => {
      const step = Math.floor(unit / count), visit = unit % count;
      const forward = step % 2 === 0;
      const frame = forward ? visit : count - 1 - visit;
      const { plan, previous, clean, guide } = visit > 0 && guided ? guided : alone;
      if (step !== begun) {
        io.setTimestep(timesteps[step]!, scheduler, { timesteps, index: step, eta: inputs.eta ?? 0 });
        for (const { plan } of plans) plan.beginStep(gpu);
        begun = step;
      }
      noise.fill(io.noise, { frame, stream: step + 1 });
      return {
        what: `compute step ${step} of frame ${frame}`,
        steps: [
          (encoder) => {
            frames.load(encoder, frame, io.frame);
            copyTensor(encoder, latents[frame]!, io.latent);
            if (!guide) return;
            copyTensor(encoder, forward ? flows!.forward[frame - 1]! : flows!.backward[frame]!, io.flow!);
          },
          ...guide ? decoder?.steps(io.clean) ?? [] : [],
          plan,
          (encoder) => {
            copyTensor(encoder, previous, latents[frame]!);
            copyTensor(encoder, clean, io.clean);
          },
        ],
        step,
        frame,
        guide,
      };
    };
    inputs.onProgress?.({ stage: "sample", done, total });
    for (let unit = first; unit < total && !signal?.aborted; unit++) {
      const { steps, what, step, frame, guide } = frameStep(unit);
      await pacer.submit(steps, what);
      await inputs.onStep?.({ step, frame, latent: latents[frame]!, clean: io.clean, guide });
      const finished = await pacer.submitted();
      done += finished;
      inputs.onProgress?.({ stage: "sample", done, total });
      if (finished > 0 && job?.due) await save();
    }
    done += await pacer.drain();
    await save();
    signal?.throwIfAborted();
    inputs.onProgress?.({ stage: "sample", done, total });
    return latents;
  } catch (error) {
    for (const latent of latents) gpu.free(latent);
    throw error;
  } finally {
    for (const { plan } of plans) plan.destroy();
    io.destroy();
  }
}
