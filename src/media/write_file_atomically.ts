import { basename, dirname, join } from "node:path";
import { escapeName } from "./escape_name.ts";

/**
 * Writes a file so that `path` holds either all of `bytes` or what was there before, also when the process is killed:
 * to `.NAME.tmp-PID` in the same folder, synced to disk, then renamed.
 *
 * On failure the temporary file is removed and an Error is thrown with the system's error as `cause`.
 */
export async function writeFileAtomically(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${Deno.pid}`);
  try {
    // A killed run whose process id was the same (usual in containers) may have left one; `createNew` would refuse it,
    // and opening without `createNew` would follow a link that somebody put there.
    await removeIfPresent(temporary);
    await writeSynced(temporary, bytes);
    await Deno.rename(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary).catch(ignore);
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot write "${escapeName(path)}": ${escapeName(reason)}`, { cause: error });
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  await file.sync();
}

async function removeIfPresent(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** For a clean-up whose own failure would hide the failure it cleans up after. */
function ignore(): void {}
