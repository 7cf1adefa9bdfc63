import { basename, join, resolve } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import type { Frame } from "../media/frame.ts";
import {
  type FrameFile,
  type FrameSummary,
  inspectFrames,
  listFrames,
  readFrame,
} from "../media/frame_folder.ts";
import { modelName } from "../hub/cache.ts";
import { encodePng } from "../media/png.ts";
import type { ClipSettings, UpscaleOptions } from "../vsr/clip_settings.ts";
import { hashFile } from "../vsr/hash_file.ts";
import type { JobFolder } from "../vsr/job_folder.ts";
import { keptWork } from "../vsr/job_state.ts";
import { UPSCALE_FACTOR, Upscaler } from "../vsr/upscaler.ts";
import type { UpscaleCommand } from "./arguments.ts";
import { describeBackend } from "./environment.ts";
import { checkDiskSpace } from "./check_disk_space.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { checkOutput, openOutput } from "./output_folder.ts";
import { count, type Reporter } from "./progress.ts";
import { tuningFolder } from "./tuning_folder.ts";
import { withRestarts } from "./with_restarts.ts";

/** What a command reports to, and what stops it. */
interface Control {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/**
 * Upscales a clip from disk to disk. Input, output, the model's configuration and the device are checked before the
 * work starts; frames are written as they come, each one complete or not at all. What is finished is kept in the output
 * folder, and the same command goes on from there.
 */
export async function upscale(command: UpscaleCommand, { reporter, signal }: Control): Promise<void> {
  const { input, output, overwrite } = command;
  const { files, ignored } = await listFrames(input);
  const summary = inspectFrames(files);
  await using job = await openOutput(output, { input, files, overwrite });

  let isFirst = true;
  await withRestarts(async () => {
    using upscaler = await openUpscaler(command, reporter);
    const settings = checkedSettings(upscaler, command);
    if (isFirst) {
      reportJob(reporter, { command, settings, files, ignored, summary });
      reportCutText(reporter, upscaler.cutText(settings));
      await checkMemory(upscaler, { command, settings, summary, reporter });
      if (!job.isUnfinished) await checkDiskSpace(output, { need: upscaler.diskNeed(summary), reporter });
    }
    const manifest = await upscaler.manifest(await hashInputs(files, signal), settings);
    const isOther = job.changes(manifest).length > 0;
    if ((isFirst && command.noResume) || (overwrite && isOther)) await job.discard();
    isFirst = false;
    try {
      await job.begin(manifest);
      reportKept(job, reporter);
      await writeFrames(upscaler, job, { command, settings, files, reporter, signal });
    } catch (error) {
      const frames = `${job.finishedFrames} of ${count(files.length, "frame")}`;
      throw explainStop(error, { signal, done: `${frames} written to ${escapeName(output)}` });
    }
  }, { reporter, signal });
  const size = { width: UPSCALE_FACTOR * summary.width, height: UPSCALE_FACTOR * summary.height };
  await checkOutput(output, { files, ...size });
  await job.finish();
  reporter.report({
    event: "done",
    frames: files.length,
    elapsed_ms: reporter.elapsedMs,
    output,
  });
}

async function openUpscaler(command: UpscaleCommand, reporter: Reporter): Promise<Upscaler> {
  const { model, flow, temporal, device, allowCpu, precision, maxGpuMemory, vaeTiling } = command;
  const tuning = {
    mode: command.tuning,
    cacheFolder: tuningFolder(),
    onCacheError: ({ message }: Error) =>
      reporter.report({ event: "warning", message: `measured kernels are not kept: ${escapeName(message)}` }),
  };
  const memory = { precision, maxGpuMemory, vaeTiling };
  const upscaler = await Upscaler.open({
    model,
    flow,
    temporal,
    allowCpu,
    tuning,
    ...memory,
    ...(device ? { device } : {}),
  });
  const { description, software } = upscaler.adapter;
  reporter.report({ event: "adapter", adapter: description, backend: describeBackend(), software });
  return upscaler;
}

/** Upscales and writes the frames that the job still lacks. */
async function writeFrames(
  upscaler: Upscaler,
  job: JobFolder,
  { command, settings, files, reporter, signal }: Control & {
    readonly command: UpscaleCommand;
    readonly settings: ClipSettings;
    readonly files: readonly FrameFile[];
  },
): Promise<void> {
  const missing = [...files.keys()].filter((frame) => !job.isDone(frame));
  const onProgress = reporter.progress.bind(reporter);
  const options = { ...settings, job, signal, onProgress };
  for await (const frame of upscaler.upscale(readFrames(files), options)) {
    const index = missing.shift()!;
    await job.writeFrame(index, encodePng(frame));
    reporter.report({ event: "frame", path: join(command.output, `${files[index]!.stem}.png`) });
  }
}

/** Adds what is done and how to go on to the errors after which that is all there is to do. */
function explainStop(
  error: unknown,
  { signal, done }: { readonly signal: AbortSignal; readonly done: string },
): unknown {
  if (error === signal.reason && error instanceof CliError) {
    const message = `${error.message}: ${done}. Run the same command again to go on`;
    return new CliError(error.exitCode, message, { cause: error });
  }
  if (isDiskFull(error)) {
    const message = `${error.message}: ${done}. Make room and run the same command again to go on`;
    return new CliError(EXIT.io, message, { cause: error });
  }
  return error;
}

async function hashInputs(
  files: readonly FrameFile[],
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const inputs: Record<string, string> = {};
  for (const { path } of files) {
    signal.throwIfAborted();
    inputs[basename(path)] = await hashFile(path);
  }
  return inputs;
}

function reportJob(
  reporter: Reporter,
  { command, settings, files, ignored, summary }: {
    readonly command: UpscaleCommand;
    readonly settings: ClipSettings;
    readonly files: readonly FrameFile[];
    readonly ignored: number;
    readonly summary: FrameSummary;
  },
): void {
  const { width, height, alphaDropped } = summary;
  reporter.report({
    event: "job",
    model: modelName(resolve(command.model)),
    frames: files.length,
    width,
    height,
    output_width: UPSCALE_FACTOR * width,
    output_height: UPSCALE_FACTOR * height,
    steps: settings.steps,
    scheduler: settings.scheduler,
    seed: settings.seed,
    conditioning_scale: settings.conditioningScale,
    noise_level: settings.noiseLevel,
    prompt: settings.prompt,
    negative_prompt: settings.negativePrompt,
    guidance_scale: settings.guidanceScale,
  });
  if (ignored > 0) {
    const entries = ignored + files.length;
    const message = `ignored ${ignored} of ${entries} folder entries: hidden, or no extension of a picture`;
    reporter.report({ event: "warning", message });
  }
  if (alphaDropped > 0) {
    const message = `transparency is dropped in ${alphaDropped} of ${count(files.length, "frame")}`;
    reporter.report({ event: "warning", message });
  }
}

function reportCutText(reporter: Reporter, ends: readonly string[]): void {
  for (const end of ends) {
    const message = `the text encoder has no room for the end of a prompt, which is left out: "${
      escapeName(end)
    }"`;
    reporter.report({ event: "warning", message });
  }
}

/**
 * Throws `LimitError` where the frames are too large for this GPU, or for a limit of its memory. Says what is done to
 * keep to a limit.
 */
async function checkMemory(
  upscaler: Upscaler,
  { command, settings, summary, reporter }: {
    readonly command: UpscaleCommand;
    readonly settings: ClipSettings;
    readonly summary: FrameSummary;
    readonly reporter: Reporter;
  },
): Promise<void> {
  const { peakBytes, measures } = await upscaler.plan(summary, settings);
  const { maxGpuMemory: limit = null } = command;
  if (limit === null && measures.length === 0) return;
  reporter.report({
    event: "memory",
    peak_bytes: peakBytes,
    limit_bytes: limit,
    measures: [...measures],
  });
}

/** Says what need not be done again, if there is anything. */
function reportKept(job: JobFolder, reporter: Reporter): void {
  const { pairs, frameSteps } = keptWork(job), frames = job.finishedFrames;
  if (pairs + frameSteps + frames === 0) return;
  reporter.report({ event: "resumed", flow_pairs: pairs, frame_steps: frameSteps, frames });
}

function isDiskFull(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  return code === "ENOSPC" || code === "EDQUOT" || isDiskFull(error.cause);
}

async function* readFrames(files: readonly FrameFile[]): AsyncGenerator<Frame> {
  for (const file of files) yield await readFrame(file);
}

/** The settings in full. Throws `CliError` (usage) for those out of the model's range. */
export function checkedSettings(upscaler: Upscaler, options: UpscaleOptions): ClipSettings {
  try {
    return upscaler.settings(options);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CliError(EXIT.usage, error.message, { cause: error });
  }
}
