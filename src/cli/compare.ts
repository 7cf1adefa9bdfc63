// deno-lint-ignore-file no-console -- a command prints

import { escapeName } from "../text/escape_name.ts";
import type { Frame } from "../media/frame.ts";
import { type FrameFile, inspectFrames, listFrames, readFrame } from "../media/frame_folder.ts";
import { upscaleBicubic } from "../media/resample.ts";
import { psnr } from "../metrics/psnr.ts";
import { ssim } from "../metrics/ssim.ts";
import { UPSCALE_FACTOR } from "../vsr/upscaler.ts";
import type { CompareCommand } from "./arguments.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { count } from "./progress.ts";

/** Shortest side that SSIM can be computed for, in pixels. */
const MIN_SIDE = 11;

/** A clip on disk: its frames by stem, and their size. */
interface Clip {
  readonly path: string;
  readonly files: ReadonlyMap<string, FrameFile>;
  readonly width: number;
  readonly height: number;
}

/** Sums over the frames of a clip. */
interface Scores {
  psnr: number;
  ssim: number;
}

/**
 * Prints PSNR and SSIM of a clip against its reference, mean over the frames, and those of bicubic upscaling if the
 * low-resolution frames are given. PSNR is infinite where a frame equals its reference. Throws `CliError` if frames are
 * missing or sizes do not fit.
 */
export async function compare(command: CompareCommand): Promise<void> {
  const reference = await openClip(command.reference);
  if (Math.min(reference.width, reference.height) < MIN_SIDE) {
    const size = `${reference.width} x ${reference.height}`;
    throw new CliError(
      EXIT.badInput,
      `Cannot compare frames of ${size}: at least ${MIN_SIDE} x ${MIN_SIDE} is wanted`,
    );
  }
  const upscaled = await openClip(command.input);
  checkFit(upscaled, { reference, factor: 1 });
  const lowResolution = command.lowResolution === undefined ? null : await openClip(command.lowResolution);
  if (lowResolution) checkFit(lowResolution, { reference, factor: UPSCALE_FACTOR });

  const ours = { psnr: 0, ssim: 0 }, bicubic = { psnr: 0, ssim: 0 };
  for (const [stem, file] of reference.files) {
    const truth = await readFrame(file);
    addScores(ours, await readMatching(upscaled.files.get(stem)!, truth), truth);
    if (lowResolution) {
      const small = await readMatching(lowResolution.files.get(stem)!, truth);
      if (small.bitDepth !== 8) {
        throw new CliError(
          EXIT.badInput,
          `Cannot compare with bicubic: "${
            escapeName(stem)
          }" has 16 bits, 8 are wanted. Leave --low-resolution out`,
        );
      }
      addScores(bicubic, upscaleBicubic(small, UPSCALE_FACTOR), truth);
    }
  }
  const frames = reference.files.size;
  console.log(
    `${count(frames, "frame")} of ${reference.width} x ${reference.height}, mean over frames and channels\n` +
      `${" ".repeat(10)} PSNR (dB)     SSIM\n${formatRow("upscaled", ours, frames)}` +
      (lowResolution ? `\n${formatRow("bicubic", bicubic, frames)}` : ""),
  );
}

async function openClip(path: string): Promise<Clip> {
  const { files } = await listFrames(path);
  const { width, height } = inspectFrames(files);
  return { path, files: new Map(files.map((file) => [file.stem, file])), width, height };
}

/** Throws unless `clip` has the reference's frames, and its size divided by `factor`. */
function checkFit(
  clip: Clip,
  { reference, factor }: { readonly reference: Clip; readonly factor: number },
): void {
  const width = reference.width / factor, height = reference.height / factor;
  const problems: string[] = [];
  if (clip.width !== width || clip.height !== height) {
    problems.push(`its frames are ${clip.width} x ${clip.height}, ${width} x ${height} is wanted`);
  }
  const missing = [...reference.files.keys()].filter((stem) => !clip.files.has(stem));
  const extra = [...clip.files.keys()].filter((stem) => !reference.files.has(stem));
  if (missing.length > 0) problems.push(`it lacks ${quoteFirst(missing)}`);
  if (extra.length > 0) problems.push(`the reference lacks ${quoteFirst(extra)}`);
  if (problems.length === 0) return;
  throw new CliError(
    EXIT.badInput,
    `Cannot compare "${escapeName(clip.path)}" with "${escapeName(reference.path)}": ${
      problems.join("; ")
    }. Give folders with the same frames, or two pictures of one name`,
  );
}

function quoteFirst(stems: readonly string[]): string {
  const more = stems.length > 1 ? ` and ${stems.length - 1} more` : "";
  return `frame "${escapeName(stems[0]!)}"${more}`;
}

/** Reads a frame that must have the reference's bit depth. */
async function readMatching(file: FrameFile, reference: Frame): Promise<Frame> {
  const frame = await readFrame(file);
  if (frame.bitDepth === reference.bitDepth) return frame;
  throw new CliError(
    EXIT.badInput,
    `Cannot compare "${
      escapeName(file.path)
    }": it has ${frame.bitDepth} bits per sample, the reference has ${reference.bitDepth}. Convert one of them`,
  );
}

function addScores(scores: Scores, frame: Frame, reference: Frame): void {
  scores.psnr += psnr(frame, reference);
  scores.ssim += ssim(frame, reference);
}

function formatRow(name: string, scores: Scores, frames: number): string {
  const decibels = scores.psnr === Infinity ? "infinite" : (scores.psnr / frames).toFixed(2);
  return `${name.padEnd(10)} ${decibels.padStart(9)} ${(scores.ssim / frames).toFixed(4).padStart(8)}`;
}
