import { escapeName } from "../text/escape_name.ts";
import { CheckpointError } from "./errors.ts";

/** Bytes of known length that are read in ranges. */
export interface ByteSource extends Disposable {
  readonly byteLength: number;
  /** Bytes from `begin` up to `end`, both at most `byteLength`, in a buffer of their own. */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Fills `bytes` with those from `begin` on. */
  readInto(bytes: Uint8Array<ArrayBuffer>, begin: number): Promise<void>;
}

/** An open file that must stay as it was when it was opened. */
export class UnchangedFile implements ByteSource {
  readonly byteLength: number;
  readonly #file: Deno.FsFile;
  readonly #label: string;
  readonly #mtime: Date | null;
  /** Reads share the file's position, so each waits for the one before. */
  #lastRead: Promise<unknown> = Promise.resolve();

  private constructor(file: Deno.FsFile, label: string, { size, mtime }: Deno.FileInfo) {
    this.byteLength = size;
    this.#file = file;
    this.#label = label;
    this.#mtime = mtime;
  }

  /** Opens `path`, which errors call `label`. Throws an Error whose cause is Deno's if that fails. */
  static async open(path: string, label: string): Promise<UnchangedFile> {
    let file: Deno.FsFile;
    try {
      file = await Deno.open(path, { read: true });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`Cannot read "${label}": ${escapeName(reason)}`, { cause });
    }
    try {
      return new UnchangedFile(file, label, await file.stat());
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** As `ByteSource.read`. Throws CheckpointError if size or time of modification are no longer the same. */
  async read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(end - begin);
    await this.readInto(bytes, begin);
    return bytes;
  }

  /** As `ByteSource.readInto`. Errors as `read`. */
  readInto(bytes: Uint8Array<ArrayBuffer>, begin: number): Promise<void> {
    const done = this.#lastRead.then(() => this.#readInto(bytes, begin));
    this.#lastRead = done.catch(() => {}); // a failed read is its caller's error, not the next one's
    return done;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  async #readInto(bytes: Uint8Array<ArrayBuffer>, begin: number): Promise<void> {
    await this.#file.seek(begin, Deno.SeekMode.Start);
    const complete = await fill(this.#file, bytes);
    const { size, mtime } = await this.#file.stat();
    if (!complete || size !== this.byteLength || mtime?.getTime() !== this.#mtime?.getTime()) {
      throw new CheckpointError(
        `Cannot read "${this.#label}": it was changed while being read; run again when nothing writes to it`,
      );
    }
  }
}

/** Fills `bytes` from the file's position; false if the file ends before. */
async function fill(file: Deno.FsFile, bytes: Uint8Array): Promise<boolean> {
  let filled = 0;
  while (filled < bytes.length) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) return false;
    filled += count;
  }
  return true;
}
