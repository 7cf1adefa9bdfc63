import { dirname, join, resolve, sep } from "node:path";
import { escapeName } from "../text/escape_name.ts";
import { CliError, EXIT } from "./exit_codes.ts";
import { writing } from "./output_folder.ts";

/**
 * Creates `folder` if need be and makes sure that a model of exactly the files `names` ("unet/config.json") can be written
 * there. Throws `CliError` (cannotCreate) if it cannot be created, if one of `sources` lies in it or holds it, if one of
 * its folders is a symbolic link, if a part of the model is there and `overwrite` is false, or if one of its folders holds other files,
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
  await checkApart(folder, { path: resolve(folder), sources }); // so that no empty folder is left in a model
  await writing(escapeName(folder), () => Deno.mkdir(folder, { recursive: true }));
  await checkApart(folder, { path: await Deno.realPath(folder), sources });
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

/** Throws `CliError` if one of `sources` lies in `folder`, which is at `path`, or the other way round. */
async function checkApart(
  folder: string,
  { path, sources }: { readonly path: string; readonly sources: readonly string[] },
): Promise<void> {
  for (const source of sources) {
    const real = await Deno.realPath(source), name = escapeName(source);
    if (liesIn(real, path)) throw refusal(folder, `"${name}", which is read, lies in it. Choose`);
    if (liesIn(path, real)) throw refusal(folder, `it lies in "${name}", which is read. Choose`);
  }
}

/** Whether `path` is `folder` or in it; both absolute. */
function liesIn(path: string, folder: string): boolean {
  return `${path}${sep}`.startsWith(folder.endsWith(sep) ? folder : folder + sep);
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
