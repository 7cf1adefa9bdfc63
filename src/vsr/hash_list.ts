import { dirname } from "node:path";
import { noteWrite } from "../media/write_observer.ts";
import { syncFolder } from "../media/write_file_atomically.ts";

const LINE = /^(\\?)([0-9a-f]{64}) {2}(.+)$/s;
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r" };
const CHARACTERS: Readonly<Record<string, string>> = { "\\\\": "\\", "\\n": "\n", "\\r": "\r" };

/**
 * A list of files and their SHA-256 on disk, in the format of `sha256sum`. It only grows: the last line of a name
 * counts. A line that a killed process left unfinished is cut off.
 */
export class HashList implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  readonly #hashes: Map<string, string>;
  #length: number;

  private constructor(path: string, file: Deno.FsFile, content: Uint8Array) {
    this.#path = path;
    this.#file = file;
    this.#hashes = parse(new TextDecoder().decode(content));
    this.#length = content.length;
  }

  /** Opens the list at `path`, creating it if need be. */
  static async open(path: string): Promise<HashList> {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      const bytes = await Deno.readFile(path);
      const complete = bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1);
      if (complete.length < bytes.length) await file.truncate(complete.length);
      await file.seek(0, Deno.SeekMode.End);
      await syncFolder(dirname(path));
      return new HashList(path, file, complete);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The hash of `name`, 64 hexadecimal digits, or undefined. */
  get(name: string): string | undefined {
    return this.#hashes.get(name);
  }

  /** All names. */
  names(): string[] {
    return [...this.#hashes.keys()];
  }

  /** Adds a line; it is on disk afterwards. On failure the list stays as it was. */
  async add(name: string, hash: string): Promise<void> {
    const bytes = new TextEncoder().encode(line(name, hash));
    try {
      noteWrite("begin", this.#path);
      for (let written = 0; written < bytes.length;) {
        written += await this.#file.write(bytes.subarray(written));
      }
      noteWrite("written", this.#path);
      await this.#file.sync();
      noteWrite("synced", this.#path);
    } catch (error) {
      await this.#file.truncate(this.#length).catch(() => {}); // opening the list again would do the same
      await this.#file.seek(this.#length, Deno.SeekMode.Start);
      throw error;
    }
    this.#length += bytes.length;
    this.#hashes.set(name, hash);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function line(name: string, hash: string): string {
  const escaped = name.replace(/[\\\n\r]/g, (character) => ESCAPES[character]!);
  return `${escaped === name ? "" : "\\"}${hash}  ${escaped}\n`;
}

function parse(text: string): Map<string, string> {
  const hashes = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, isEscaped, hash, escaped] = LINE.exec(line) ?? [];
    if (hash === undefined || escaped === undefined) continue;
    const name = isEscaped ? escaped.replace(/\\[\\nr]/g, (escape) => CHARACTERS[escape]!) : escaped;
    hashes.set(name, hash);
  }
  return hashes;
}
