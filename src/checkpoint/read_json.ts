import { ConfigError } from "./errors.ts";
import { parseJson } from "./strict_json.ts";
import { type ByteSource, UnchangedFile } from "./unchanged_file.ts";

/** A network's configuration takes a few KB. */
export const MAX_CONFIG_BYTES = 2 ** 20;

/** What `readJson` is told beside the path. */
export interface ReadJsonOptions {
  /** What errors call the file. */
  readonly label: string;
  /** Bounds what is read before anything is known of the file. */
  readonly maxBytes: number;
}

/**
 * Reads the JSON file at `path`. Throws ConfigError if it is too large, not UTF-8, not JSON, nested too deeply, or
 * has a key twice; CheckpointError if it changes meanwhile; an Error with Deno's as its cause if it cannot be opened.
 */
export async function readJson(path: string, options: ReadJsonOptions): Promise<unknown> {
  using file = await UnchangedFile.open(path, options.label);
  return await readJsonFrom(file, options);
}

/** Reads `source` as one JSON text; as `readJson`. */
export async function readJsonFrom(
  source: ByteSource,
  { label, maxBytes }: ReadJsonOptions,
): Promise<unknown> {
  try {
    if (source.byteLength > maxBytes) {
      throw new SyntaxError(`${source.byteLength} bytes, wanted at most ${maxBytes}`);
    }
    return parseJson(decode(await source.read(0, source.byteLength)));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ConfigError("Cannot read JSON; get the file again from the model's source", [
      `${label}: ${error.message}`,
    ]);
  }
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SyntaxError("it is not UTF-8");
  }
}
