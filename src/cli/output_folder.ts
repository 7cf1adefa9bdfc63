import { dirname, join, parse, resolve } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import type { FrameFile } from "../media/frame_folder.ts";
import { pngFileProblem } from "../media/png_file_problem.ts";
import { JobError, JobFolder } from "../vsr/job_folder.ts";
import { CliError, EXIT } from "./exit_codes.ts";

/** The folder that is written to unless told otherwise: `NAME_upscaled` beside the folder or picture at `input`. */
export function defaultOutput(input: string): string {
  const path = resolve(input);
  return join(dirname(path), `${parse(path).name || "frames"}_upscaled`);
}

/**
 * Creates `folder` if need be and opens its job, which writes each frame as `STEM.png`. Throws `CliError` (cannotCreate)
 * if it cannot be written to, if the input lies in it, if an output is a symbolic link, or if one exists that the
 * unfinished job has not written and `overwrite` is false; `JobError` if another run writes to it.
 */
export async function openOutput(
  folder: string,
  { input, files, overwrite }: {
    readonly input: string;
    readonly files: readonly FrameFile[];
    readonly overwrite: boolean;
  },
): Promise<JobFolder> {
  const name = escapeName(folder);
  await writing(name, () => Deno.mkdir(folder, { recursive: true }));
  // Of one picture's folder, nothing but the picture may be read.
  const realInput = await Deno.realPath(input);
  const inputFolder = files[0]!.path === input ? dirname(realInput) : realInput;
  if (await Deno.realPath(folder) === inputFolder) {
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write to folder "${name}": the input lies in it. Choose another one with --output`,
    );
  }
  const names = files.map((file) => `${file.stem}.png`);
  const job = await writing(name, () => JobFolder.open(folder, names));
  try {
    const existing = await existingOutputs(folder, { names, job });
    if (existing.length === 0 || overwrite) return job;
    const others = existing.length > 1 ? ` and ${existing.length - 1} more` : "";
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write "${
        escapeName(existing[0]!)
      }"${others}: it exists. Pass --overwrite to replace it, or choose another folder with --output`,
    );
  } catch (error) {
    await job[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Looks at the outputs of a finished job: there must be one for each frame, each a whole PNG of that size. Throws
 * `CliError` (io) where one is not.
 */
export async function checkOutput(
  folder: string,
  { files, width, height }: {
    readonly files: readonly FrameFile[];
    readonly width: number;
    readonly height: number;
  },
): Promise<void> {
  const problems: string[] = [];
  for (const { stem } of files) {
    const path = join(folder, `${stem}.png`);
    const problem = await pngFileProblem(path, { width, height });
    if (problem) problems.push(`"${escapeName(path)}": ${problem}`);
  }
  if (problems.length === 0) return;
  const others = problems.length > 1 ? `, and ${problems.length - 1} more are bad` : "";
  throw new CliError(
    EXIT.io,
    `Cannot finish with ${
      problems[0]
    }${others}. Another program or the disk changed it; run the same command again`,
  );
}

/** Paths of the outputs that are there and that `job` has not written. Throws `CliError` where one is a link. */
async function existingOutputs(
  folder: string,
  { names, job }: { readonly names: readonly string[]; readonly job: JobFolder },
): Promise<string[]> {
  const existing: string[] = [];
  for (const [frame, name] of names.entries()) {
    const path = join(folder, name), info = await statEntry(path);
    if (info?.isSymlink) {
      throw new CliError(
        EXIT.cannotCreate,
        `Cannot write "${
          escapeName(path)
        }": it is a symbolic link. Remove it, or choose another folder with --output`,
      );
    }
    if (info && !job.isDone(frame)) existing.push(path);
  }
  return existing;
}

/** Runs `use`, which writes to the folder `name`; what the system says against it becomes a `CliError`. */
export async function writing<T>(name: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    if (error instanceof JobError) throw error;
    const reason = escapeName(error instanceof Error ? error.message : String(error));
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write to folder "${name}": ${reason}. Choose another one with --output`,
      { cause: error },
    );
  }
}

/** What stands at `path` itself, be it a link; null for nothing. */
async function statEntry(path: string): Promise<Deno.FileInfo | null> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
