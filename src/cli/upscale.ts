import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { escapeName } from "../media/escape_name.ts";
import type { Frame } from "../media/frame.ts";
import { type FrameFile, inspectFrames, listFrames, readFrame, writeFrame } from "../media/frame_folder.ts";
import { UPSCALE_FACTOR, Upscaler } from "../vsr/upscaler.ts";
import type { UpscaleCommand } from "./arguments.ts";
import { describeBackend } from "./environment.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { interruptible } from "./interruption.ts";
import { defaultOutput, prepareOutput } from "./output_folder.ts";
import { count, type Reporter } from "./progress.ts";

const BUNDLED_MODEL = fileURLToPath(new URL("../../weights/nano", import.meta.url));

/**
 * Upscales a clip from disk to disk. Input, output, the model's configuration and the device are checked before the
 * work starts; frames are written as they come, each one complete or not at all.
 */
export async function upscale(command: UpscaleCommand, reporter: Reporter): Promise<void> {
  const { files, ignored } = await listFrames(command.input);
  const { width, height, alphaDropped } = await inspectFrames(files);
  const output = command.output ?? defaultOutput(command.input);
  const paths = await prepareOutput(output, { files, overwrite: command.overwrite });

  const model = command.model ?? BUNDLED_MODEL;
  const { device, allowCpu, precision } = command;
  using upscaler = await Upscaler.open({ model, allowCpu, precision, ...(device ? { device } : {}) });
  const { description, software } = upscaler.adapter;
  reporter.report({
    event: "adapter",
    adapter: description,
    backend: describeBackend(),
    software,
  });
  const { steps, seed, conditioningScale } = checkedSettings(upscaler, command);
  reporter.report({
    event: "job",
    model: basename(resolve(model)),
    frames: files.length,
    width,
    height,
    output_width: UPSCALE_FACTOR * width,
    output_height: UPSCALE_FACTOR * height,
    steps,
    seed,
    conditioning_scale: conditioningScale,
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

  await interruptible(async (signal) => {
    let written = 0;
    try {
      const onProgress = reporter.progress.bind(reporter);
      const options = { steps, seed, conditioningScale, signal, onProgress };
      for await (const frame of upscaler.upscale(readFrames(files), options)) {
        const path = paths[written]!;
        await writeFrame(path, frame);
        written++;
        reporter.report({ event: "frame", path });
      }
    } catch (error) {
      if (error !== signal.reason) throw error;
      const { message, exitCode } = error as CliError;
      const done = `${written} of ${count(files.length, "frame")} written to ${escapeName(output)}`;
      throw new CliError(exitCode, `${message}: ${done}`, { cause: error });
    }
  });
  reporter.report({
    event: "done",
    frames: files.length,
    elapsed_ms: reporter.elapsedMs,
    output,
  });
}

async function* readFrames(files: readonly FrameFile[]): AsyncGenerator<Frame> {
  for (const file of files) yield await readFrame(file);
}

/** The settings in full; those out of the model's range are usage errors. */
function checkedSettings(upscaler: Upscaler, command: UpscaleCommand): ReturnType<Upscaler["settings"]> {
  try {
    return upscaler.settings(command);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CliError(EXIT.usage, error.message, { cause: error });
  }
}
