import { basename, dirname, join } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { noteWrite } from "./write_observer.ts";

/**
 * Writes a file so that `path` holds either all of `content` or what was there before, also when the process is killed
 * or the power goes: to `.NAME.tmp-PID` in the same folder, synced to disk, then renamed, and the folder synced.
 *
 * `content` is the bytes, or pieces of them. On failure the temporary file is removed and an Error is thrown with the
 * system's error as `cause`.
 */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${Deno.pid}`);
  try {
    noteWrite("begin", path);
    // A killed run whose process id was the same (usual in containers) may have left one; `createNew` would refuse it,
    // and opening without `createNew` would follow a link that somebody put there.
    await removeIfPresent(temporary);
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      for await (const bytes of content instanceof Uint8Array ? [content] : content) {
        for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
      }
      noteWrite("written", path);
      await file.sync();
    }
    noteWrite("synced", path);
    await Deno.rename(temporary, path);
    noteWrite("renamed", path);
    await syncFolder(dirname(path));
  } catch (error) {
    await removeIfPresent(temporary).catch(ignore);
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot write "${escapeName(path)}": ${escapeName(reason)}`, { cause: error });
  }
}

/** Removes the temporary files that killed runs left in `folder`, of files whose name `isOurs` accepts. */
export async function removeTemporaries(folder: string, isOurs: (name: string) => boolean): Promise<void> {
  const temporaries: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    const target = /^\.(.+)\.tmp-\d+$/s.exec(name)?.[1];
    if (isFile && target !== undefined && isOurs(target)) temporaries.push(join(folder, name));
  }
  for (const path of temporaries) await removeIfPresent(path);
}

/** Makes sure that the names in a folder are on disk. Windows does so by itself and cannot open folders. */
export async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}

/** Removes a file or empty folder that need not be there. */
export async function removeIfPresent(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** For a clean-up whose own failure would hide the failure it cleans up after. */
function ignore(): void {}
