import { dirname, join, sep } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { writing } from "./output_folder.ts";

/**
 * Creates `folder` if need be and makes sure that a model of exactly the files `names` ("unet/config.json") can be written
 * there. Throws `CliError` (cannotCreate) if it cannot be created, if one of `sources` lies in it, if one of its folders is
 * a symbolic link, if a part of the model is there and `overwrite` is false, or if one of its folders holds other files,
 * which would be taken for parts of the model.
 */
export async function openModelOutput(
  folder: string,
  { names, sources, overwrite }: {
    readonly names: readonly string[];
    readonly sources: readonly string[];
    readonly overwrite: boolean;
  },
): Promise<void> {
  await writing(escapeName(folder), () => Deno.mkdir(folder, { recursive: true }));
  const real = await Deno.realPath(folder);
  for (const source of sources) {
    if (!`${await Deno.realPath(source)}${sep}`.startsWith(real.endsWith(sep) ? real : real + sep)) continue;
    throw refusal(folder, `"${escapeName(source)}", which is read, lies in it. Choose`);
  }
  const present = await modelFiles(folder, new Set(names.map(dirname)));
  const other = present.find((name) => !names.includes(name));
  if (other !== undefined) {
    throw refusal(
      folder,
      `it holds "${escapeName(other)}", which is no part of the model. Remove that, or choose`,
    );
  }
  if (present.length === 0 || overwrite) return;
  throw refusal(
    folder,
    `it holds "${escapeName(present[0]!)}". Pass --overwrite to replace the model, or choose`,
  );
}

/** Files that make a model: `model_index.json`, and those in folders, but for hidden ones. */
async function modelFiles(root: string, parts: ReadonlySet<string>): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory, isSymlink } of Deno.readDir(root)) {
    if (isSymlink && parts.has(name)) {
      throw refusal(root, `"${name}" is a symbolic link. Remove it, or choose`);
    }
    if (name === "model_index.json") files.push(name);
    if (!isDirectory || name.startsWith(".")) continue;
    for await (const file of Deno.readDir(join(root, name))) {
      if (!file.name.startsWith(".")) files.push(`${name}/${file.name}`);
    }
  }
  return files.sort();
}

function refusal(folder: string, problem: string): CliError {
  return new CliError(
    EXIT.cannotCreate,
    `Cannot write to folder "${escapeName(folder)}": ${problem} another one with --output`,
  );
}
