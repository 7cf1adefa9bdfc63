// Upscales one clip of generated frames with the model in a folder, then loads each of its networks once more, and
// prints what that took as a line of JSON; a process of its own, so that nothing else is in its memory.
// Usage: run_checkpoint.ts '{"model":"FOLDER","precision":"f16","frames":2,"width":32,"height":32,"steps":2}'

// deno-lint-ignore-file no-console -- a command prints

import { resourceUsage } from "node:process";
import { type Frame, type Progress, Upscaler } from "../mod.ts";
import { type ModelPart, openModelFolder } from "../src/checkpoint/model_folder.ts";
import { Gpu } from "../src/gpu/device.ts";
import { BUILDERS, loadNetwork } from "../src/vsr/networks.ts";
import { signalFrame } from "../tests/vsr/_signal_frame.ts";
import { BufferMeter } from "./buffer_meter.ts";

/** A model folder and a clip. */
export interface CheckpointRun {
  readonly model: string;
  readonly precision: "f32" | "f16";
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly steps: number;
}

/** From the first to the last report of a stage, in milliseconds since the clip was begun; a report follows what it reports. */
export interface StageSpan {
  readonly stage: Progress["stage"];
  /** Pairs of frames, frame-steps or frames. */
  readonly units: number;
  readonly beginMs: number;
  readonly endMs: number;
}

/** What the run took. */
export interface CheckpointCost {
  /** Opening device and folder and checking all tensors' names and shapes. */
  readonly openMs: number;
  readonly stages: readonly StageSpan[];
  /** The whole clip, without opening. */
  readonly clipMs: number;
  /** Largest memory of the process until the clip was done; a software adapter's GPU memory is part of it. */
  readonly hostBytes: number;
  /** Largest sum of all GPU buffers. */
  readonly gpuBytes: number;
  /** What the plan had said. */
  readonly plannedBytes: number;
  /** Reading and uploading each network by itself, once its file was read before. */
  readonly loadMs: Readonly<Record<string, number>>;
}

async function runCheckpoint(settings: CheckpointRun): Promise<CheckpointCost> {
  const { model, precision } = settings;
  const clip = await upscaleClip(settings);
  return { ...clip, loadMs: await timeLoads(model, precision) };
}

async function upscaleClip(
  { model, precision, frames, width, height, steps }: CheckpointRun,
): Promise<Omit<CheckpointCost, "loadMs">> {
  const start = performance.now();
  using meter = new BufferMeter();
  using upscaler = await Upscaler.open({ model, precision, allowCpu: true });
  const openMs = performance.now() - start;
  const clip = Array.from({ length: frames }, (_, i) => signalFrame(i, { width, height }));
  const bitDepths = clip.map(({ bitDepth }) => bitDepth);
  const { peakBytes: plannedBytes } = await upscaler.plan({ width, height, bitDepths }, { steps });

  const begun = performance.now();
  const stages: StageSpan[] = [];
  const onProgress = ({ stage, total }: Progress) => {
    const now = performance.now() - begun, last = stages.at(-1);
    if (last?.stage === stage) stages.splice(-1, 1, { ...last, endMs: now });
    else stages.push({ stage, units: total, beginMs: now, endMs: now });
  };
  const upscaled = await Array.fromAsync(upscaler.upscale(clip, { steps, onProgress }));
  const clipMs = performance.now() - begun;
  check(upscaled, { frames, width, height });
  const hostBytes = 1024 * resourceUsage().maxRSS;
  return { openMs, stages, clipMs, hostBytes, gpuBytes: meter.peakBytes, plannedBytes };
}

/** Throws unless there are as many frames as went in, each four times as large and a picture. `upscale()` refuses NaN. */
function check(
  upscaled: readonly Frame[],
  { frames, width, height }: Pick<CheckpointRun, "frames" | "width" | "height">,
): void {
  const isRight = (frame: Frame) => frame.width === 4 * width && frame.height === 4 * height;
  if (upscaled.length !== frames || !upscaled.every(isRight)) {
    const sizes = upscaled.map((frame) => `${frame.width}×${frame.height}`);
    throw new Error(`Cannot measure: frames of [${sizes}], wanted ${frames} of ${4 * width}×${4 * height}`);
  }
}

async function timeLoads(path: string, precision: "f32" | "f16"): Promise<Record<string, number>> {
  using gpu = await Gpu.open({ allowCpu: true });
  const model = await openModelFolder(path);
  const times: Record<string, number> = {};
  for (const part of (Object.keys(BUILDERS) as ModelPart[]).filter((part) => model.configs[part] !== null)) {
    const start = performance.now();
    using _network = await loadNetwork(gpu, { model, part, precision });
    await gpu.done();
    times[part] = performance.now() - start;
  }
  return times;
}

if (import.meta.main) console.log(JSON.stringify(await runCheckpoint(JSON.parse(Deno.args[0]!))));
