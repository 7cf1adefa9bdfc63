import { dirname, join, parse, resolve } from "node:path";
import { escapeName } from "../media/escape_name.ts";
import type { FrameFile } from "../media/frame_folder.ts";
import { CliError, EXIT } from "./exit_codes.ts";

/** The folder that is written to unless told otherwise: `NAME_upscaled` beside the folder or picture at `input`. */
export function defaultOutput(input: string): string {
  const path = resolve(input);
  return join(dirname(path), `${parse(path).name || "frames"}_upscaled`);
}

/**
 * Creates `folder` if need be and returns the path of each frame's output, `STEM.png`. Throws `CliError` (cannotCreate)
 * if it cannot be written to, if the input lies in it, or if an output exists and `overwrite` is false.
 */
export async function prepareOutput(
  folder: string,
  { files, overwrite }: { readonly files: readonly FrameFile[]; readonly overwrite: boolean },
): Promise<string[]> {
  const name = escapeName(folder);
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.remove(await Deno.makeTempFile({ dir: folder, prefix: ".write-test-" }));
  } catch (error) {
    const reason = escapeName(error instanceof Error ? error.message : String(error));
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write to folder "${name}": ${reason}. Choose another one with --output`,
      { cause: error },
    );
  }
  if (await Deno.realPath(folder) === await Deno.realPath(dirname(files[0]!.path))) {
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write to folder "${name}": the input lies in it. Choose another one with --output`,
    );
  }
  const paths = files.map((file) => join(folder, `${file.stem}.png`));
  const existing: string[] = [];
  for (const path of paths) if (await exists(path)) existing.push(path);
  if (existing.length > 0 && !overwrite) {
    const others = existing.length > 1 ? ` and ${existing.length - 1} more` : "";
    throw new CliError(
      EXIT.cannotCreate,
      `Cannot write "${
        escapeName(existing[0]!)
      }"${others}: it exists. Pass --overwrite to replace it, or choose another folder with --output`,
    );
  }
  return paths;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
