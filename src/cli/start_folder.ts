import { escapeName } from "../text/escape_name.ts";
import { readEnvironment } from "./environment.ts";
import { CliError, EXIT } from "./exit_codes.ts";

/** The folder that a task was started in; Deno runs it in the repository's. */
export const START_FOLDER = "INIT_CWD";

/** Makes relative paths count from the folder that the user is in. Throws `CliError` (noInput) if there is none. */
export function enterStartFolder(): void {
  const folder = readEnvironment(START_FOLDER);
  if (folder === undefined) return;
  try {
    Deno.chdir(folder);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return; // what else is missing is told together
    throw new CliError(
      EXIT.noInput,
      `Cannot enter "${escapeName(folder)}", where relative paths count from. Unset ${START_FOLDER}`,
      { cause: error },
    );
  }
}
