// Starts probe_worker.ts with what an `upscale` command gets, gives up this thread's permissions, and prints what each
// thread may do then, as JSON: probe_main.ts upscale ...

// deno-lint-ignore-file no-console -- the test reads what is printed

import { parseArguments } from "../../src/cli/arguments.ts";
import { dropPermissions, grantsOf, startConfined } from "../../src/cli/permissions.ts";

const command = parseArguments(Deno.args);
if (command.command !== "upscale") throw new Error(`Cannot probe "${command.command}"`);
const worker = startConfined(new URL("./probe_worker.ts", import.meta.url), grantsOf(command));
worker.onmessage = ({ data }) => {
  if (data === "ready") {
    dropPermissions();
    return worker.postMessage({ input: command.input, output: command.output });
  }
  const names = ["read", "write", "env", "net", "run", "ffi", "sys", "import"] as const;
  const main = names.map((name) => Deno.permissions.querySync({ name }).state);
  console.log(JSON.stringify({ main, worker: data }));
  Deno.exit(0);
};
