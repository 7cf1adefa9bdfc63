// The command line, but the command's worker lacks one permission: narrowed_main.ts read|write PATH COMMAND ...

import { parseArguments } from "../../src/cli/arguments.ts";
import { type Grants, grantsOf } from "../../src/cli/permissions.ts";
import { runConfined } from "../../src/cli/run_confined.ts";

const [kind, path, ...args] = Deno.args as ["read" | "write", string, ...string[]];
const command = parseArguments(args);
const grants = grantsOf(command);
const narrowed: Grants = { ...grants, [kind]: grants[kind].filter((granted) => granted !== path) };
if (narrowed[kind].length === grants[kind].length) {
  throw new Error(`"${path}" is not granted: ${grants[kind]}`);
}
Deno.exit(await runConfined(command, narrowed));
