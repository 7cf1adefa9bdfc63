import { cacheEntry, hubFolder, newestSnapshot, REPO_NAME } from "../hub/cache.ts";
import type { CliCommand } from "./arguments.ts";
import { readEnvironment } from "./environment.ts";
import { CliError, EXIT } from "./exit_codes.ts";

/**
 * The command with the folder of its model, if it has one, instead of OWNER/NAME. Throws `CliError` (unavailable) where
 * no model of that name was fetched.
 */
export function withFoundModel(command: CliCommand): CliCommand {
  return "model" in command ? { ...command, model: findModel(command.model) } : command;
}

/**
 * The folder that `--model` means: the text itself, or, where there is no such folder and it has the form OWNER/NAME, the
 * newest snapshot of that model that was fetched.
 */
function findModel(model: string): string {
  if (!REPO_NAME.test(model) || exists(model)) return model;
  const hub = hubFolder(readEnvironment);
  const snapshot = hub === undefined ? null : newestSnapshot(cacheEntry(hub, model));
  if (snapshot !== null) return snapshot;
  throw new CliError(
    EXIT.unavailable,
    `Cannot open model "${model}": no such folder, and no model of that name was fetched; give the path of a model ` +
      `folder, or fetch it first: deno task fetch ${model}`,
  );
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}
