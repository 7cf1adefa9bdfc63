import { createHash, type Hash } from "node:crypto";
import { dirname } from "node:path";
import { syncFolder } from "../media/write_file_atomically.ts";
import type { HubFile } from "./choose_files.ts";
import type { HubClient } from "./client.ts";
import { HubError } from "./errors.ts";
import { type RetryOptions, withRetries } from "./retry.ts";

const PIECE_BYTES = 2 ** 20;
/** Whole downloads that are tried before wrong bytes count as the server's. */
const MAX_DOWNLOADS = 2;

/** What to download, and where to. */
export interface DownloadOptions extends Omit<RetryOptions, "progress"> {
  readonly repo: string;
  readonly commit: string;
  readonly file: HubFile;
  /** The path that the file gets once its digest is right; until then it is `PATH.incomplete`. */
  readonly path: string;
  /** Told how many bytes of the file are there; the number falls if they have to be dropped. */
  readonly onProgress: (bytes: number) => void;
}

/**
 * Downloads a file, going on where an earlier try ended. Throws `HubError`: corrupt if an announced length is wrong, or
 * if the digest stays wrong, after removing what came; busy if the server goes away, or if another process downloads the
 * same file; others as `HubClient`.
 */
export async function downloadFile(client: HubClient, options: DownloadOptions): Promise<void> {
  const { file, path } = options;
  const incomplete = `${path}.incomplete`;
  using part = await PartialFile.open(incomplete, file);
  for (let downloads = 1;; downloads++) {
    await fill(client, part, options);
    if (part.hasDigest()) break;
    await part.clear();
    if (downloads === MAX_DOWNLOADS) {
      await Deno.remove(incomplete);
      throw corrupt(file, `its bytes do not have the digest ${file.digest}`);
    }
  }
  await part.sync();
  await Deno.rename(incomplete, path);
  await syncFolder(dirname(path));
}

/** Adds bytes to `part` until it has all of them. */
function fill(client: HubClient, part: PartialFile, options: DownloadOptions): Promise<void> {
  const { repo, commit, file, onProgress, signal } = options;
  let most = part.byteLength;
  onProgress(most);
  return withRetries(async () => {
    if (part.byteLength === file.byteLength) return;
    await using answer = await client.open(repo, { commit, file, begin: part.byteLength, signal });
    if (answer.status !== 206) await part.clear(); // a server may send everything whatever was asked for
    checkLength(answer, { file, begin: part.byteLength });
    for await (const chunk of answer.chunks) {
      if (part.byteLength + chunk.length > file.byteLength) {
        throw corrupt(file, "more bytes than announced come");
      }
      await part.append(chunk);
      most = Math.max(most, part.byteLength);
      onProgress(part.byteLength);
    }
    if (part.byteLength < file.byteLength) {
      throw new HubError(
        "busy",
        `Cannot go on with "${file.name}": the connection ended at ${part.byteLength} of ${file.byteLength} bytes`,
      );
    }
  }, { ...options, progress: () => most });
}

/** Compares what the server announces, if it does, with what the listing says. */
function checkLength(
  { status, headers }: { readonly status: number; readonly headers: Headers },
  { file, begin }: { readonly file: HubFile; readonly begin: number },
): void {
  const { byteLength } = file;
  if (status === 416) throw new HubError("busy", `Cannot go on with "${file.name}" at its byte ${begin}`);
  if (status === 206) {
    const range = headers.get("content-range");
    const wanted = `bytes ${begin}-${byteLength - 1}/${byteLength}`;
    if (range !== wanted) throw corrupt(file, `the server announces "${range}", wanted "${wanted}"`);
  }
  const announced = headers.get("content-length");
  if (announced === null || announced === `${byteLength - begin}`) return;
  throw corrupt(file, `the server announces ${announced} bytes, the listing ${byteLength - begin}`);
}

function corrupt(file: HubFile, reason: string): HubError {
  return new HubError("corrupt", `Cannot use what comes for "${file.name}": ${reason}; fetch it again later`);
}

/** The beginning of a file, which is hashed as it grows. One process at a time has it. */
class PartialFile implements Disposable {
  #byteLength = 0;
  #hash: Hash;
  readonly #file: Deno.FsFile;
  readonly #wanted: HubFile;

  private constructor(file: Deno.FsFile, wanted: HubFile) {
    this.#file = file;
    this.#wanted = wanted;
    this.#hash = beginHash(wanted);
  }

  /** Opens or creates `path`, and hashes what it holds. */
  static async open(path: string, wanted: HubFile): Promise<PartialFile> {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      if (!await file.tryLock(true)) {
        throw new HubError("busy", `Cannot fetch "${wanted.name}": another run does so; wait for it to end`);
      }
      const part = new PartialFile(file, wanted);
      if ((await file.stat()).size > wanted.byteLength) await part.clear();
      const piece = new Uint8Array(PIECE_BYTES);
      for (let length; (length = await file.read(piece)) !== null;) part.#take(piece.subarray(0, length));
      return part;
    } catch (error) {
      file.close();
      throw error;
    }
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.length;) {
      const length = await this.#file.write(bytes.subarray(written));
      this.#take(bytes.subarray(written, written += length));
    }
  }

  /** Drops all bytes. */
  async clear(): Promise<void> {
    await this.#file.truncate(0);
    await this.#file.seek(0, Deno.SeekMode.Start);
    this.#byteLength = 0;
    this.#hash = beginHash(this.#wanted);
  }

  /** Whether the bytes are the right ones; to be asked once. */
  hasDigest(): boolean {
    return this.#hash.digest("hex") === this.#wanted.digest;
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  #take(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#byteLength += bytes.length;
  }
}

/** Git hashes a blob's kind and length before its bytes. */
function beginHash({ algorithm, byteLength }: HubFile): Hash {
  return algorithm === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${byteLength}\0`);
}
