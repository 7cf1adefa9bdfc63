// The command line in one thread, saving whenever it can. At the write point that the first argument names, by number or
// as POINT:FILE, the process is killed, or the disk of the file named by the second argument is filled up with it, unless
// that is empty. The others are the command's. At the end it prints how many points there were.

// deno-lint-ignore-file no-console -- the test reads it

import { basename } from "node:path";
import { parseArguments } from "../../src/cli/arguments.ts";
import { runCommand } from "../../src/cli/run_command.ts";
import { observeWrites } from "../../src/media/write_observer.ts";
import { alwaysDue } from "../vsr/_always_due.ts";
import { fillDisk } from "./fill_disk.ts";

const [at, ballast, ...args] = Deno.args;
let points = 0;
observeWrites((point, path) => {
  points++;
  if (at !== `${points}` && at !== `${point}:${basename(path)}`) return;
  if (ballast) fillDisk(ballast);
  else Deno.kill(Deno.pid, "SIGKILL");
});
using _ = alwaysDue();
const code = await runCommand(parseArguments(args), { signal: new AbortController().signal });
console.log(points);
Deno.exit(code);
