import { basename, dirname, join, sep } from "node:path";
import { CheckpointError, ConfigError, quote } from "./errors.ts";
import { parseJson } from "./strict_json.ts";

/** Larger than any configuration or shard index; bounds what is read before anything is known of the file. */
const MAX_JSON_BYTES = 16 * 2 ** 20;

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
  const allowed = [realRoot, ...hubBlobs(realRoot)];
  if (!allowed.some((folder) => real.startsWith(folder.endsWith(sep) ? folder : folder + sep))) {
    throw new CheckpointError(
      `Cannot read ${quote(relative)}: it leads outside the model folder "${realRoot}"`,
    );
  }
  if (!(await Deno.stat(real)).isFile) {
    throw new CheckpointError(`Cannot read ${quote(relative)}: it is not a regular file`);
  }
  return real;
}

/** A hub cache keeps MODEL/snapshots/REVISION as links into MODEL/blobs. */
function hubBlobs(realRoot: string): string[] {
  const snapshots = dirname(realRoot);
  return basename(snapshots) === "snapshots" ? [join(dirname(snapshots), "blobs")] : [];
}

/**
 * Reads the JSON file at `path`, which errors call `label`.
 * Throws ConfigError if it is larger than 16 MiB, not UTF-8, not JSON, or has a key twice.
 */
export async function readJson(path: string, label: string): Promise<unknown> {
  const { size } = await Deno.stat(path);
  if (size > MAX_JSON_BYTES) {
    throw new ConfigError("Cannot read the configuration", [
      `${label}: ${size} bytes, wanted at most ${MAX_JSON_BYTES}`,
    ]);
  }
  try {
    return parseJson(new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path)));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) {
      throw new ConfigError("Cannot read the configuration", [`${label}: ${error.message}`]);
    }
    throw error;
  }
}
