import { basename, dirname, join, sep } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { CheckpointError, MissingModelError, quote } from "./errors.ts";

/**
 * The real path of the file `relative` to the model folder `root`, or null if there is none.
 * Symbolic links count only if they end inside `root`, or, where `root` is a snapshot in a hub cache, in that
 * cache's `blobs` folder. Throws CheckpointError for a file elsewhere or for something that is no regular file.
 */
export async function containedFile(root: string, relative: string): Promise<string | null> {
  const realRoot = await Deno.realPath(root);
  let real: string;
  try {
    real = await Deno.realPath(join(realRoot, relative));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
    throw error;
  }
  if (
    !modelFolders(realRoot).some((folder) => real.startsWith(folder.endsWith(sep) ? folder : folder + sep))
  ) {
    throw new CheckpointError(
      `Cannot read ${quote(relative)}: it leads outside the model folder "${escapeName(realRoot)}"; ` +
        `put the file itself there`,
    );
  }
  if (!(await Deno.stat(real)).isFile) {
    throw new CheckpointError(
      `Cannot read ${quote(relative)}: it is not a regular file; put the file itself there`,
    );
  }
  return real;
}

/** As `containedFile`, but throws MissingModelError if there is none. */
export async function requiredFile(root: string, relative: string): Promise<string> {
  const path = await containedFile(root, relative);
  if (path !== null) return path;
  throw new MissingModelError("Cannot use the model: a file is missing", [
    `no ${quote(relative)}: copy it from the model's source`,
  ]);
}

/**
 * The folders that files of the model folder `realRoot`, a real path, may lie in: itself and, since a hub cache keeps
 * MODEL/snapshots/REVISION as links into MODEL/blobs, the latter.
 */
export function modelFolders(realRoot: string): string[] {
  const snapshots = dirname(realRoot);
  return basename(snapshots) === "snapshots" ? [realRoot, join(dirname(snapshots), "blobs")] : [realRoot];
}
