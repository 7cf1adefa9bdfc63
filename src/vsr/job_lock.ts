import { dirname } from "node:path";

/** A file may vanish between opening and locking only while another job ends; more than a few times is an error. */
const ATTEMPTS = 10;

/**
 * A lock file that one process at a time can hold. The system releases it when the process ends, however it ends, so
 * none is ever stale.
 */
export class JobLock implements Disposable {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Locks the file at `path`, making it and its folder if need be; null where somebody else holds it. */
  static async take(path: string): Promise<JobLock | null> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await Deno.mkdir(dirname(path), { recursive: true });
      const file = await openIfPossible(path);
      if (!file) continue;
      if (!await file.tryLock(true)) {
        file.close();
        return null;
      }
      // Whoever held it may have removed the file: then the lock is one on nothing.
      if (await isStill(file, path)) return new JobLock(file);
      file.close();
    }
    throw new Error(`Cannot lock "${path}": it vanished ${ATTEMPTS} times, wanted it to stay`);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

async function openIfPossible(path: string): Promise<Deno.FsFile | null> {
  try {
    return await Deno.open(path, { write: true, create: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function isStill(file: Deno.FsFile, path: string): Promise<boolean> {
  try {
    return (await file.stat()).ino === (await Deno.lstat(path)).ino;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
