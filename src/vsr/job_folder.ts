import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import { SafetensorsFile } from "../checkpoint/safetensors.ts";
import { writeSafetensors } from "../checkpoint/write_safetensors.ts";
import {
  removeIfPresent,
  removeTemporaries,
  syncFolder,
  writeFileAtomically,
} from "../media/write_file_atomically.ts";
import { noteWrite } from "../media/write_observer.ts";
import { escapeName } from "../text/escape_name.ts";
import { hashFile } from "./hash_file.ts";
import { HashList } from "./hash_list.ts";
import { JobLock } from "./job_lock.ts";
import type { JobStore, SavedFile, SavedTensors } from "./job_store.ts";
import { type Manifest, manifestChanges, parseManifest } from "./manifest.ts";

/** Name of the folder inside the output folder. */
const JOB_FOLDER = ".dgaf-vsr-job";
const LOCK = "lock", MANIFEST = "manifest.json", DONE = "done.sha256";
/** Where the stages keep tensors. */
const STATE_FOLDERS = ["prompts", "flows", "latents"];
/** Time between two saves: the work that is lost when the process is killed. */
const SAVE_EVERY_MS = 30_000;

/** A job cannot be worked on: another process does, or the unfinished one is of other things. */
export class JobError extends Error {
  /** The class, for messages. */
  override readonly name = "JobError";
  /** What is in the way. */
  readonly code: "locked" | "changed";

  /** An error of one kind. */
  constructor(code: "locked" | "changed", message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The job that writes to an output folder, kept in the folder `.dgaf-vsr-job` in there until it is finished:
 *
 * - `lock` is held by the process that works on it;
 * - `manifest.json` says what the job is of; without it there is none;
 * - `prompts/`, `flows/`, `latents/` hold finished work;
 * - `done.sha256` lists their files, and the frames that were written. What is not in there does not count.
 */
export class JobFolder implements JobStore, AsyncDisposable {
  readonly #output: string;
  readonly #path: string;
  readonly #names: readonly string[];
  readonly #lock: JobLock;
  #done: HashList;
  /** Null for no job; what is wrong with it where it cannot be read. */
  #manifest: Manifest | SyntaxError | null;
  /** Names of the files that hold tensors. */
  readonly #saved = new Set<string>();
  /** Numbers of the frames that lie in the output folder as they were written. */
  readonly #finished = new Set<number>();
  #savedAt = performance.now();

  private constructor(
    output: string,
    parts: {
      names: readonly string[];
      lock: JobLock;
      done: HashList;
      manifest: Manifest | SyntaxError | null;
    },
  ) {
    this.#output = output;
    this.#path = join(output, JOB_FOLDER);
    this.#names = parts.names;
    this.#lock = parts.lock;
    this.#done = parts.done;
    this.#manifest = parts.manifest;
  }

  /**
   * Opens the job of the folder `output`, which is made if need be, and looks for what is finished. `names` are the
   * names of the output files by frame. Left-over temporary files are removed. Throws JobError (locked) where another
   * process has it open.
   */
  static async open(output: string, names: readonly string[]): Promise<JobFolder> {
    const path = join(output, JOB_FOLDER);
    for (const entry of ["", LOCK, MANIFEST, DONE, ...STATE_FOLDERS]) await refuseLink(join(path, entry));
    const lock = await JobLock.take(join(path, LOCK));
    if (!lock) {
      const reason = "another run is writing to it. Wait for its end, or choose another folder";
      throw new JobError("locked", `Cannot write to folder "${escapeName(output)}": ${reason}`);
    }
    using opened = new DisposableStack();
    opened.use(lock);
    const known = new Set(names);
    await removeTemporaries(output, (name) => known.has(name));
    await removeTemporaries(path, () => true);
    const manifest = await readManifest(join(path, MANIFEST));
    // A process was killed while it removed the rest of a job.
    if (!manifest) await removeIfPresent(join(path, DONE));
    const done = opened.use(await HashList.open(join(path, DONE)));
    const job = new JobFolder(output, { names, lock, done, manifest });
    await job.#look();
    if (!job.#hasWork) job.#manifest = null; // nothing is lost by beginning anew
    opened.move(); // they are the job's from now on
    return job;
  }

  /** Whether there is a job to go on with. */
  get isUnfinished(): boolean {
    return this.#manifest !== null;
  }

  /** Number of frames that are written. */
  get finishedFrames(): number {
    return this.#finished.size;
  }

  /** What `manifest` changes of the unfinished job, one phrase each; empty where nothing or if there is no job. */
  changes(manifest: Manifest): string[] {
    if (!this.#manifest) return [];
    if (this.#manifest instanceof Error) return [`${MANIFEST} cannot be read: ${this.#manifest.message}`];
    return manifestChanges(this.#manifest, manifest);
  }

  /** Goes on with the unfinished job, or begins one. Throws JobError (changed) naming all that has changed. */
  async begin(manifest: Manifest): Promise<void> {
    const changes = this.changes(manifest);
    if (changes.length > 0) {
      const list = changes.map((change) => `  ${change}`).join("\n");
      throw new JobError(
        "changed",
        `Cannot go on with the unfinished job in "${
          escapeName(this.#output)
        }": it was begun differently\n${list}\n` +
          "Run the command that it was begun with, or start over with --no-resume",
      );
    }
    for (const folder of STATE_FOLDERS) await Deno.mkdir(join(this.#path, folder), { recursive: true });
    if (!this.#manifest) {
      const text = `${JSON.stringify(manifest, null, 2)}\n`;
      await writeFileAtomically(join(this.#path, MANIFEST), new TextEncoder().encode(text));
    }
    await syncFolder(this.#path);
    await syncFolder(this.#output);
    this.#manifest = manifest;
    this.#savedAt = performance.now();
  }

  /** Drops the unfinished job with the frames that it wrote. */
  async discard(): Promise<void> {
    for (const frame of this.#finished) await this.#remove(join(this.#output, this.#names[frame]!));
    await this.#removeState();
    this.#done[Symbol.dispose]();
    await this.#remove(join(this.#path, DONE));
    this.#done = await HashList.open(join(this.#path, DONE));
  }

  /** Removes the job once all frames are written. */
  async finish(): Promise<void> {
    const missing = this.#names.findIndex((_, frame) => !this.#finished.has(frame));
    if (missing >= 0) throw new RangeError(`Cannot finish the job: frame ${missing} is not written`);
    await this.#removeState();
  }

  /** Ends the work of this process. What is finished stays; where nothing is, no job stays either. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#done[Symbol.dispose]();
    const isGone = !this.#manifest || !this.#hasWork;
    try {
      if (isGone) {
        await this.#removeState();
        for (const name of [DONE, LOCK]) await this.#remove(join(this.#path, name));
      }
    } finally {
      this.#lock[Symbol.dispose]();
    }
    // Another process may have come meanwhile.
    if (isGone) await Deno.remove(this.#path).catch(() => {});
  }

  /** As `JobStore`: 30 s after the last `save()` or the start. */
  get due(): boolean {
    return performance.now() - this.#savedAt >= SAVE_EVERY_MS;
  }

  /** As `JobStore`. */
  isDone(frame: number): boolean {
    return this.#finished.has(frame);
  }

  /** As `JobStore`. */
  list(folder: string): string[] {
    return [...this.#saved].filter((name) => name.startsWith(`${folder}/`)).sort();
  }

  /** As `JobStore`. */
  async load(name: string): Promise<SavedFile | null> {
    const path = join(this.#path, name), hash = this.#done.get(name);
    if (!this.#saved.has(name) || hash === undefined || await hashIfFile(path) !== hash) return null;
    return await SafetensorsFile.open(path);
  }

  /** As `JobStore`. */
  async save(name: string, { shapes, values }: SavedTensors): Promise<void> {
    const hash = createHash("sha256");
    await writeFileAtomically(join(this.#path, name), hashed(hash, writeSafetensors(shapes, values)));
    await this.#done.add(name, hash.digest("hex"));
    this.#saved.add(name);
    this.#savedAt = performance.now();
  }

  /** As `JobStore`. */
  async remove(name: string): Promise<void> {
    await this.#remove(join(this.#path, name));
    this.#saved.delete(name);
  }

  /**
   * Writes the file of an output frame; its name is complete or absent whatever happens. The list is written first:
   * so a file that is not as listed is not this job's.
   */
  async writeFrame(frame: number, bytes: Uint8Array): Promise<void> {
    const name = this.#names[frame]!;
    await this.#done.add(`../${name}`, createHash("sha256").update(bytes).digest("hex"));
    await writeFileAtomically(join(this.#output, name), bytes);
    this.#finished.add(frame);
  }

  get #hasWork(): boolean {
    return this.#saved.size > 0 || this.#finished.size > 0;
  }

  /** Finds out what is finished. Saved tensors are verified when they are opened, frames now. */
  async #look(): Promise<void> {
    for (const folder of STATE_FOLDERS) {
      for (const file of await fileNames(join(this.#path, folder))) {
        const name = `${folder}/${file}`;
        if (this.#done.get(name) === undefined) await this.#remove(join(this.#path, name));
        else this.#saved.add(name);
      }
    }
    for (const [frame, name] of this.#names.entries()) {
      const hash = this.#done.get(`../${name}`);
      if (hash && await hashIfFile(join(this.#output, name)) === hash) this.#finished.add(frame);
    }
  }

  /** The large files first: a process killed between can still go on. The manifest's end is the job's. */
  async #removeState(): Promise<void> {
    for (const folder of STATE_FOLDERS) {
      for (const file of await fileNames(join(this.#path, folder))) {
        await this.#remove(join(this.#path, folder, file));
      }
      await this.#remove(join(this.#path, folder));
    }
    await this.#remove(join(this.#path, MANIFEST));
    this.#manifest = null;
    this.#saved.clear();
    this.#finished.clear();
  }

  async #remove(path: string): Promise<void> {
    await removeIfPresent(path);
    noteWrite("removed", path);
  }
}

/** What is written through a link lands elsewhere. */
async function refuseLink(path: string): Promise<void> {
  try {
    if (!(await Deno.lstat(path)).isSymlink) return;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new Error(`Cannot use "${escapeName(path)}": it is a symbolic link, wanted none; remove it`);
}

async function readManifest(path: string): Promise<Manifest | SyntaxError | null> {
  try {
    return parseManifest(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof SyntaxError) return error;
    throw error;
  }
}

/** Names of the files in a folder, temporary ones too; none where there is no folder. */
async function fileNames(path: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Null where there is no regular file. */
async function hashIfFile(path: string): Promise<string | null> {
  try {
    return (await Deno.lstat(path)).isFile ? await hashFile(path) : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function* hashed(hash: Hash, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of pieces) {
    hash.update(bytes);
    yield bytes;
  }
}
