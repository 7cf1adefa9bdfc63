import type { Gpu } from "../gpu/device.ts";
import type { Plan } from "../gpu/plan.ts";
import { Tensor } from "../gpu/tensor.ts";
import { CountingRecorder } from "../kernels/counting_recorder.ts";
import type { Weights } from "../nn/weights.ts";
import { recordEncoder, recordPair, slotLike } from "./flow_stage.ts";
import { contextsOf, recordStep, StepInputs, stepTensors } from "./frame_step.ts";
import { type MemoryPlan, type MemorySettings, promptTensors, type StageMemory } from "./memory_plan.ts";
import { buildTemporal, type ModelOutline } from "./networks.ts";
import { flowStepOf } from "./temporal_module.ts";

/** Pixels of the frames of the larger trial; a GPU needs more of them to be busy. */
const TRIAL_PIXELS = { software: 48 * 48, hardware: 96 * 96 };
/** How many times smaller the frames of the other trial are. */
const SMALLER = 4;
/** A trial is repeated until it has taken about this long, since a wait alone takes 10 ms. */
const TRIAL_MS = 200;
const MAX_REPEATS = 50;

/**
 * How long a stage will take, about: computing alone, without compiling shaders, loading weights, reading and writing
 * files. The less a frame keeps the GPU busy, the more it is off.
 */
export interface StageTime {
  /** The stage. */
  readonly stage: StageMemory["stage"];
  /** For the whole clip. */
  readonly durationMs: number;
}

/** A clip's size, and what was planned for it. */
export interface TimedPlan extends Pick<MemoryPlan, "stages" | "text"> {
  readonly height: number;
  readonly width: number;
  readonly settings: MemorySettings;
}

/** A unit of a stage's work on small frames. */
interface Trial {
  readonly rec: CountingRecorder;
  readonly outputs: readonly Tensor[];
  readonly inputs: readonly Tensor[];
  readonly weights: readonly Weights[];
}

/**
 * Times a piece of each stage on small frames of two sizes, with weights of zeros. The difference gives the time of an
 * operation, the rest is taken to be the same for frames of any size.
 */
export async function estimateTime(
  gpu: Gpu,
  outline: ModelOutline,
  plan: TimedPlan,
): Promise<StageTime[]> {
  const most = gpu.facts.software ? TRIAL_PIXELS.software : TRIAL_PIXELS.hardware;
  const times: StageTime[] = [];
  for (const { stage, flops } of plan.stages) {
    const record = (size: { height: number; width: number }) =>
      TRIALS[stage](gpu, outline, { ...size, plan });
    const large = record(sizeWithin(plan, most)), small = record(sizeWithin(plan, most / SMALLER));
    const unit = record(plan).rec.flops;
    const samples = [];
    for (const trial of [large, small]) {
      samples.push({ flops: trial.rec.flops, durationMs: await run(gpu, trial) });
    }
    times.push({ stage, durationMs: flops / unit * extrapolate(samples[0]!, samples[1]!, unit) });
  }
  return times;
}

interface Sample {
  readonly flops: number;
  readonly durationMs: number;
}

/** The time of so many operations on the line through two samples, or through the first and zero where that is none. */
export function extrapolate(large: Sample, small: Sample, flops: number): number {
  const slope = (large.durationMs - small.durationMs) / (large.flops - small.flops);
  const fixed = large.durationMs - slope * large.flops;
  if (slope > 0 && fixed > 0) return fixed + slope * flops;
  return large.durationMs / large.flops * flops;
}

/** The plan's frame size, or one of about the same shape with so many pixels. */
function sizeWithin({ height, width }: TimedPlan, pixels: number): { height: number; width: number } {
  const factor = Math.min(1, Math.sqrt(pixels / (height * width)));
  return { height: Math.ceil(factor * height), width: Math.ceil(factor * width) };
}

interface TrialOptions {
  readonly height: number;
  readonly width: number;
  readonly plan: TimedPlan;
}

/** How a piece of each stage is recorded. */
const TRIALS = { text: textTrial, flow: flowTrial, sample: sampleTrial, decode: decodeTrial };

/** All of the stage, whatever the size of the frames. */
function textTrial(gpu: Gpu, outline: ModelOutline, { plan }: TrialOptions): Trial {
  const { network, weights } = outline.buildTextEncoder(plan.text.encoded, plan.settings);
  const rec = new CountingRecorder(gpu);
  return { rec, outputs: [network.forward(rec)], inputs: [], weights: [weights] };
}

function flowTrial(gpu: Gpu, outline: ModelOutline, { height, width, plan }: TrialOptions): Trial {
  const { network, weights } = outline.build("flow", plan.settings);
  const rec = new CountingRecorder(gpu);
  const frame = new Tensor([1, height, width, 3], "frame");
  const target = recordEncoder(rec, network, frame);
  const source = slotLike(target, 1);
  const tally = new Tensor([1, 4], "finite flows"), step = flowStepOf(outline.configs)!;
  const flow = recordPair(rec, network, { target, source, height, width, step, tally });
  return { rec, outputs: [flow], inputs: [frame, tally, ...Object.values(source)], weights: [weights] };
}

function sampleTrial(gpu: Gpu, outline: ModelOutline, { height, width, plan }: TrialOptions): Trial {
  const guided = plan.stages.some(({ stage }) => stage === "flow");
  const unet = outline.build("unet", plan.settings);
  // Decoding in tiles takes as long per operation.
  const temporal = guided ? buildTemporal(outline, { ...plan.settings, tile: null }) : null;
  const networks = {
    unet: unet.network,
    temporal: temporal?.module ?? null,
    ...promptTensors(plan.text),
  };
  const io = new StepInputs(gpu, [1, height, width, outline.configs.unet.out_channels], networks);
  const rec = new CountingRecorder(gpu);
  const outputs = stepTensors(recordStep(rec, io, { networks, conditioningScale: guided ? 1 : null }));
  const weights = [unet.weights, ...temporal?.weights ?? []];
  return { rec, outputs, inputs: [...contextsOf(networks), ...io.tensors], weights };
}

function decodeTrial(gpu: Gpu, outline: ModelOutline, { height, width, plan }: TrialOptions): Trial {
  const { network, weights } = outline.build("vae", plan.settings);
  const rec = new CountingRecorder(gpu);
  const [tileHeight, tileWidth] = [height, width].map((side) =>
    Math.min(side, plan.settings.tile ?? Infinity)
  );
  const latent = new Tensor([1, tileHeight!, tileWidth!, outline.configs.unet.out_channels], "latent");
  return { rec, outputs: [network.forward(rec, latent)], inputs: [latent], weights: [weights] };
}

/** Milliseconds of one replay. */
async function run(gpu: Gpu, { rec, outputs, inputs, weights }: Trial): Promise<number> {
  using owned = new DisposableStack();
  for (const w of weights) {
    owned.adopt(w, (w) => w.free());
    w.allocate();
  }
  for (const tensor of inputs) {
    owned.adopt(tensor, (tensor) => gpu.free(tensor));
    gpu.allocate(tensor);
  }
  const plan = owned.use(await rec.finish(outputs));
  await replay(gpu, plan, 1); // drivers compile on first use
  const once = await replay(gpu, plan, 1);
  const repeats = Math.min(MAX_REPEATS, Math.floor(TRIAL_MS / once));
  return repeats < 2 ? once : await replay(gpu, plan, repeats) / repeats;
}

async function replay(gpu: Gpu, plan: Plan, times: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < times; i++) gpu.submit((encoder) => plan.encode(encoder), "time a trial");
  await gpu.done();
  return performance.now() - start;
}
