import type { Gpu } from "../gpu/device.ts";
import type { ScratchSizes } from "../gpu/plan.ts";
import { Tensor } from "../gpu/tensor.ts";
import { CountingRecorder } from "../kernels/counting_recorder.ts";
import { packedPixelsShape } from "../kernels/pixels.ts";
import type { Weights } from "../nn/weights.ts";
import { recordEncoder, recordPair, slotLike } from "./flow_stage.ts";
import { directionsOf, flowShape, type FlowStep } from "./flows.ts";
import { recordDecoder } from "./frame_decoder.ts";
import {
  contextsOf,
  recordEstimate,
  recordStep,
  type SampleNetworks,
  StepInputs,
  stepTensors,
} from "./frame_step.ts";
import { recordUnpacker } from "./frame_store.ts";
import { buildTemporal, type ModelOutline } from "./networks.ts";
import { recordNoise } from "./noise.ts";
import { frameShape, recordNoisedFrame } from "./noised_clip.ts";
import type { Progress } from "./progress.ts";
import { GROUP_BYTES } from "./read_tensors.ts";
import { flowStepOf } from "./temporal_module.ts";
import { type RecordedTiles, tileRecordings } from "./tile_decoder.ts";

/** A clip, as far as memory and time depend on it. */
export interface ClipOutline {
  /** Pixels of an input frame. */
  readonly height: number;
  /** Pixels of an input frame. */
  readonly width: number;
  /** Bits per sample of each frame. */
  readonly bitDepths: readonly (8 | 16)[];
}

/** The text of a clip, as far as memory and time depend on it. */
export interface TextOutline {
  /** Shape of each prompt's embedding, [tokens, D]: a second is the negative prompt's. */
  readonly shapes: readonly (readonly [number, number])[];
  /** How many of the prompts the text encoder has to encode. */
  readonly encoded: number;
}

/** What can be chosen to save memory. */
export interface MemorySettings {
  /** How weights are stored. */
  readonly precision: "f32" | "f16";
  /** Bytes that a scratch tensor may take, of a band or of correlations. */
  readonly scratchBytes: number;
  /** Whether transformed filters are kept, or computed in each replay. */
  readonly keepDerived: boolean;
  /** Side of the tiles that frames, and ControlNet's estimates, are decoded in, in latent pixels; null for whole ones. */
  readonly tile: number | null;
}

/** GPU memory while a stage runs, in bytes by purpose, and its work. */
export interface StageMemory {
  /** In the order in which they run. */
  readonly stage: Progress["stage"];
  /** Parameters of the stage's networks. */
  readonly weights: number;
  /** Transformed filters, kept with the weights. */
  readonly derived: number;
  /** Activations: arenas and uniforms of all plans. */
  readonly plans: number;
  /** Tensors that plans read and that are written before each replay, encoded frames. */
  readonly inputs: number;
  /** The low-resolution frames and what unpacks them. */
  readonly frames: number;
  /** All flows of the clip, in the directions that its steps need. */
  readonly flows: number;
  /** The latents of all frames. */
  readonly latents: number;
  /** Where results wait for the host: frames, or what a job keeps for a later run. */
  readonly readBack: number;
  /** The sum of all. */
  readonly total: number;
  /** Floating-point operations of the whole clip in this stage, as `CountingRecorder` counts. */
  readonly flops: number;
}

/** What a job needs. */
export interface MemoryPlan {
  /** In the order in which they run; without text where no prompt is encoded, without flow where nothing guides. */
  readonly stages: readonly StageMemory[];
  /** The text that was planned for. */
  readonly text: TextOutline;
  /** GPU memory of the stage that needs most. */
  readonly peakBytes: number;
  /** Host memory besides the runtime, for what takes most: weights being loaded, frames being written, a job being kept. */
  readonly hostBytes: number;
}

/** Copies of an output frame on its way: read back, handed out, in the encoder, encoded. */
const HOST_FRAMES = 4;
/** Values of a check that is read back: one, padded. */
const CHECK_BYTES = 16;

/**
 * Computes what a job allocates at most, by recording what its stages record. Allocates nothing; the same answer for the same
 * adapter facts, model, clip and settings.
 */
export function planMemory(
  gpu: Gpu,
  outline: ModelOutline,
  { clip, steps, text, settings, known = new Map() }: {
    readonly clip: ClipOutline;
    readonly steps: number;
    readonly text: TextOutline;
    readonly settings: MemorySettings;
    /** Stages that other calls for the same GPU, model, steps and text have computed; added to. */
    readonly known?: KnownStages;
  },
): MemoryPlan {
  const count = clip.bitDepths.length;
  const flowStep = count > 1 ? flowStepOf(outline.configs) : null;
  const pixels = clip.height * clip.width;
  const frames = framesBytes(gpu, clip);
  const flowBytes = flowStep ? bytes([new Tensor(flowShape(clip, flowStep), "flow")]) : 0;
  const flows = directionsOf(steps) * (count - 1) * flowBytes;
  const latentBytes = bytes([new Tensor(latentShape(clip, outline), "latent")]);
  const latents = (count + 1) * latentBytes; // a job that goes on also has the clean estimate it stopped at
  const job = { outline, clip, steps, text, settings, flowStep };

  const { tile: _, ...network } = settings;
  /** Recording takes a while, and most settings leave most stages as they were. */
  function compute<T extends StageParts>(stage: (gpu: Gpu, job: Job) => T, matters: object): T {
    const key = JSON.stringify([stage.name, clip, matters]);
    const parts = known.get(key) as T | undefined ?? stage(gpu, job);
    known.set(key, parts);
    return parts;
  }
  const encode = text.encoded > 0 ? compute(textPlan, network) : null;
  const flow = flowStep ? compute(flowPlan, network) : null;
  const sample = compute(samplePlan, outline.configs.controlnet ? settings : network);
  const decode = compute(decodePlan, settings);
  const stages = [
    ...encode ? [total("text", { ...encode, frames, flows: 0, latents: 0 })] : [],
    ...flow
      ? [total("flow", { ...flow, frames, flows, latents: 0, readBack: savedBytes(flows, flowBytes) })]
      : [],
    total("sample", { ...sample, frames, flows, latents, readBack: savedBytes(latents, latentBytes) }),
    total("decode", { ...decode, frames, flows: 0, latents }),
  ];
  const loadBytes = Math.max(...[encode, flow, sample, decode].map((part) => part?.loadBytes ?? 0));
  const keptBytes = Math.max(...stages.map(({ readBack }) => readBack)) / 2; // the other half is on the GPU
  const outputBytes = Math.max(...clip.bitDepths) / 8 * 3 * 16 * pixels;
  return {
    stages,
    text,
    peakBytes: Math.max(...stages.map((stage) => stage.total)),
    hostBytes: Math.max(loadBytes, HOST_FRAMES * outputBytes, keptBytes),
  };
}

/** Shape of a latent of the clip. */
export function latentShape({ height, width }: ClipOutline, { configs }: ModelOutline): number[] {
  return [1, height, width, configs.unet.out_channels];
}

/** What all stage plans are computed from. */
interface Job {
  readonly outline: ModelOutline;
  readonly clip: ClipOutline;
  readonly steps: number;
  readonly text: TextOutline;
  readonly settings: MemorySettings;
  /** Density of the flows; null where nothing guides. */
  readonly flowStep: FlowStep | null;
}

/** Parts of plans, by what they depend on. */
export type KnownStages = Map<string, StageParts>;

/** The part of a stage's memory that goes when it ends. */
interface StageParts extends Pick<StageMemory, "weights" | "derived" | "plans" | "inputs" | "flops"> {
  /** Host memory while the weights are loaded, one network after the other. */
  readonly loadBytes: number;
}

function framesBytes(gpu: Gpu, { height, width, bitDepths }: ClipOutline): number {
  let sum = 0;
  for (const bitDepth of new Set(bitDepths)) {
    const format = { height, width, bitDepth };
    const rec = new CountingRecorder(gpu);
    const { input, output } = recordUnpacker(rec, format);
    sum += bytes([input]) + rec.dryRun([output]).byteLength;
  }
  for (const bitDepth of bitDepths) {
    sum += bytes([new Tensor(packedPixelsShape({ height, width, bitDepth }), "frame")]);
  }
  return sum;
}

function textPlan(
  gpu: Gpu,
  { outline, text, settings }: Job,
): StageParts & Pick<StageMemory, "readBack"> {
  const { network, weights } = outline.buildTextEncoder(text.encoded, settings);
  const rec = new CountingRecorder(gpu);
  const states = network.forward(rec);
  const plans = rec.dryRun([states]).byteLength;
  return { ...weightBytes([weights]), plans, inputs: 0, readBack: bytes([states]), flops: rec.flops };
}

function flowPlan(gpu: Gpu, { outline, clip, steps, settings, flowStep }: Job): StageParts {
  const { height, width } = clip;
  const { network, weights } = outline.build("flow", settings);
  const frame = new Tensor([1, height, width, 3], "frame");
  const encoder = new CountingRecorder(gpu);
  const output = recordEncoder(encoder, network, frame);
  let plans = encoder.dryRun(Object.values(output)).byteLength;
  const slots = [slotLike(output, 0), slotLike(output, 1)] as const;
  const tally = new Tensor([1, 4], "finite flows");
  let pairFlops = 0;
  for (const [target, source] of [slots, slots.toReversed()] as const) {
    const pair = new CountingRecorder(gpu);
    const flow = recordPair(pair, network, {
      target: target!,
      source: source!,
      height,
      width,
      step: flowStep!,
      tally,
    });
    plans += pair.dryRun([flow]).byteLength;
    pairFlops += directionsOf(steps) / 2 * pair.flops;
  }
  const count = clip.bitDepths.length;
  return {
    ...weightBytes([weights]),
    plans,
    inputs: bytes([frame, tally, ...slots.flatMap((slot) => Object.values(slot))]),
    flops: count * encoder.flops + (count - 1) * pairFlops,
  };
}

function samplePlan(gpu: Gpu, { outline, clip, steps, text, settings, flowStep }: Job): StageParts {
  const unet = outline.build("unet", settings);
  const guided = flowStep !== null;
  const temporal = guided ? buildTemporal(outline, settings) : null;
  const networks: SampleNetworks = {
    unet: unet.network,
    temporal: temporal?.module ?? null,
    ...promptTensors(text),
  };
  const shape = latentShape(clip, outline);
  const noise = new CountingRecorder(gpu);
  const { counter, output } = recordNoise(noise, shape);
  const io = new StepInputs(gpu, shape, networks);
  let plans = noise.dryRun([output]).byteLength,
    inputs = bytes([...contextsOf(networks), counter, ...io.tensors]),
    flops = 0;
  let scratch: ScratchSizes | undefined;
  for (const conditioningScale of guided ? [1, null] : [null]) {
    const rec = new CountingRecorder(gpu);
    const step = rec.dryRun(stepTensors(recordStep(rec, io, { networks, conditioningScale })), { scratch });
    scratch = step.scratch;
    const tiles = conditioningScale === null
      ? null
      : recordEstimate(io, networks, () => new CountingRecorder(gpu));
    const decoding = tilesPlan(tiles, scratch);
    plans += step.byteLength + decoding.plans;
    inputs += decoding.inputs;
    const others = clip.bitDepths.length - 1,
      visits = conditioningScale !== null ? others : guided ? 1 : 1 + others;
    flops += steps * visits * (rec.flops + decoding.flops);
  }
  const noised = outline.configs.low_res_scheduler ? noisedFrames(gpu, clip) : { plans: 0, inputs: 0 };
  return {
    ...weightBytes([unet.weights, ...temporal?.weights ?? []]),
    plans: plans + noised.plans,
    inputs: inputs + noised.inputs,
    flops,
  };
}

/** The prompts of a clip as a frame-step takes them, without memory or values. */
export function promptTensors({ shapes }: TextOutline): Pick<SampleNetworks, "context" | "textGuidance"> {
  const [context, negative] = shapes.map((shape) => new Tensor([1, ...shape], "prompt"));
  return { context: context!, textGuidance: negative ? { negative, scale: 2 } : null };
}

/** What adding noise to the low-resolution frames takes. */
function noisedFrames(gpu: Gpu, clip: ClipOutline): Pick<StageParts, "plans" | "inputs"> {
  const drawing = new CountingRecorder(gpu), mixing = new CountingRecorder(gpu);
  const drawn = recordNoise(drawing, frameShape(clip));
  const { frame, noise, output } = recordNoisedFrame(mixing, frameShape(clip), { signal: 1, noise: 1 });
  return {
    plans: drawing.dryRun([drawn.output]).byteLength + mixing.dryRun([output]).byteLength,
    inputs: bytes([drawn.counter, frame, noise]),
  };
}

function decodePlan(gpu: Gpu, { outline, clip, settings }: Job): StageParts & Pick<StageMemory, "readBack"> {
  const { network, weights } = outline.build("vae", settings);
  let plans = 0, inputs = 0, readBack = 0, flops = 0;
  for (const bitDepth of new Set(clip.bitDepths)) {
    const options = { shape: latentShape(clip, outline), bitDepth, tile: settings.tile };
    const { tiles, input, frame, packed } = recordDecoder(network, options, () => new CountingRecorder(gpu));
    const decoding = tilesPlan(tiles);
    plans += decoding.plans + frame.rec.dryRun(frame.outputs).byteLength;
    inputs += decoding.inputs + bytes([input]);
    readBack = Math.max(readBack, bytes([packed]) + CHECK_BYTES);
    const frames = clip.bitDepths.filter((depth) => depth === bitDepth).length;
    flops += frames * (decoding.flops + frame.rec.flops);
  }
  return { ...weightBytes([weights]), plans, inputs, readBack, flops };
}

/** What decoding a latent in tiles takes beside the picture; its plans may use `scratch`. */
function tilesPlan(
  tiles: RecordedTiles<CountingRecorder> | null,
  scratch?: ScratchSizes,
): Pick<StageParts, "plans" | "inputs" | "flops"> {
  if (!tiles) return { plans: 0, inputs: 0, flops: 0 };
  let plans = 0;
  for (const { rec, outputs } of tileRecordings(tiles)) plans += rec.dryRun(outputs, { scratch }).byteLength;
  return { plans, inputs: bytes([tiles.window]), flops: tiles.blends.length * tiles.network.rec.flops };
}

/**
 * Memory for reading back tensors of `byteLength` in all and `one` each, by `readTensors()`: a copy on the GPU, and one
 * to map.
 */
function savedBytes(byteLength: number, one: number): number {
  return 2 * Math.min(byteLength, Math.max(GROUP_BYTES, one));
}

function weightBytes(
  all: readonly Weights[],
): Pick<StageParts, "weights" | "derived" | "loadBytes"> {
  const derived = all.reduce((sum, w) => sum + w.derivedBytes, 0);
  return {
    weights: all.reduce((sum, w) => sum + w.byteLength, 0) - derived,
    derived,
    loadBytes: Math.max(...all.map((w) => w.loadBytes)),
  };
}

function total(
  stage: StageMemory["stage"],
  { loadBytes: _, ...parts }: StageParts & Pick<StageMemory, "frames" | "flows" | "latents" | "readBack">,
): StageMemory {
  const { flops, ...memory } = parts;
  return { stage, ...memory, total: Object.values(memory).reduce((a, b) => a + b, 0), flops };
}

function bytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { storage }) => sum + storage.byteLength, 0);
}
