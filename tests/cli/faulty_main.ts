// The command line in one thread, with the faults of the GPU that the first argument names in JSON; the others are the
// command's. At the end it prints in JSON what there was to go wrong.

// deno-lint-ignore-file no-console -- the test reads it

import { parseArguments } from "../../src/cli/arguments.ts";
import { runCommand } from "../../src/cli/run_command.ts";
import { injectFaults } from "../../src/gpu/faults.ts";

const [faults, ...args] = Deno.args;
const counts = injectFaults(JSON.parse(faults!));
const code = await runCommand(parseArguments(args), { signal: new AbortController().signal });
const { submits, allocations, poisoned } = counts;
console.log(JSON.stringify({ submits, allocations, poisoned }));
Deno.exit(code);
