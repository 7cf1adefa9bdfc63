// The command line. The command itself runs in a worker that may touch the command's files and nothing else.

import { type CliCommand, parseArguments } from "./arguments.ts";
import { withFoundModel } from "./find_model.ts";
import { openReporter, reportError } from "./open_reporter.ts";
import { checkPermissions, grantsOf } from "./permissions.ts";
import { runConfined } from "./run_confined.ts";
import { enterStartFolder } from "./start_folder.ts";

let command: CliCommand | null = null;
try {
  enterStartFolder();
  command = withFoundModel(parseArguments(Deno.args));
  const grants = grantsOf(command);
  checkPermissions(grants);
  Deno.exit(await runConfined(command, grants));
} catch (error) {
  Deno.exit(reportError(error, openReporter(command)));
}
