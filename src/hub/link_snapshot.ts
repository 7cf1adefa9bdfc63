import { dirname, join, relative } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { snapshotFolder } from "./cache.ts";
import type { HubFile } from "./choose_files.ts";

/** A model whose files are all among a cache entry's blobs. */
export interface Snapshot {
  /** The model's folder in the cache. */
  readonly entry: string;
  readonly commit: string;
  readonly files: readonly Pick<HubFile, "name" | "digest">[];
}

/**
 * Makes the folder of a snapshot: relative symbolic links into the entry's blobs, or copies where the system makes no
 * links. Links that are there already stay. Throws RangeError for names that lead out of the folder.
 */
export async function linkSnapshot({ entry, commit, files }: Snapshot): Promise<void> {
  for (const { name, digest } of files) {
    const parts = [commit, digest, ...name.split("/")];
    if (!parts.every((part) => /^[A-Za-z0-9_-][\w.-]*$/.test(part))) {
      throw new RangeError(`Cannot link "${escapeName(name)}": wanted plain names`);
    }
    const path = join(snapshotFolder(entry, commit), ...name.split("/"));
    const blob = join(entry, "blobs", digest);
    if (await sameFile(path, blob)) continue;
    await Deno.mkdir(dirname(path), { recursive: true });
    await removeEntry(path);
    try {
      await Deno.symlink(relative(dirname(path), blob), path, { type: "file" });
    } catch {
      await Deno.copyFile(blob, `${path}.incomplete`);
      await Deno.rename(`${path}.incomplete`, path);
    }
  }
}

/** Whether `path` leads to `blob`, or is a copy of it as far as lengths tell. */
async function sameFile(path: string, blob: string): Promise<boolean> {
  try {
    const { isSymlink, isFile, size } = await Deno.lstat(path);
    if (isSymlink) return await Deno.realPath(path) === await Deno.realPath(blob);
    return isFile && size === (await Deno.stat(blob)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function removeEntry(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
