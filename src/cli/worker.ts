// Runs one command in a worker that run_confined.ts has confined to the command's files.

import type { CliCommand } from "./arguments.ts";
import type { ExitCode } from "./exit_codes.ts";
import { type Interruption, interruptionError } from "./interruption.ts";
import { runCommand } from "./run_command.ts";

/** Messages to the worker: first the command, then perhaps a signal. */
export type ToWorker = { readonly command: CliCommand } | { readonly interruption: Interruption };
/** Messages from the worker: that its modules are loaded, then the end. */
export type FromWorker = "ready" | { readonly exitCode: ExitCode };

/** This thread's end of the channel, which Deno's types for windows leave out. */
const channel = self as unknown as Worker;
const interruption = new AbortController();

channel.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  if ("interruption" in data) interruption.abort(interruptionError(data.interruption));
  else send({ exitCode: await runCommand(data.command, interruption.signal) });
};
send("ready");

function send(message: FromWorker): void {
  channel.postMessage(message);
}
